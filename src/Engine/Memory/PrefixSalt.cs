using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace NativeLM.Engine.Memory;

/// <summary>Keeps cached prefixes apart that must not be shared.</summary>
internal static class PrefixSalt
{
    /// <summary>
    /// The same for the same pair, and different for different ones: half of a SHA-256, since a collision would let one tenant learn from the
    /// time of an answer what another has asked. 0 if both are null.
    /// </summary>
    public static UInt128 Of(string? key, string? salt)
    {
        if (key is null && salt is null)
            return 0;
        byte[] text = Encoding.UTF8.GetBytes($"{key?.Length ?? -1}:{key}:{salt?.Length ?? -1}:{salt}");
        return BinaryPrimitives.ReadUInt128LittleEndian(SHA256.HashData(text));
    }
}
