using System.Runtime.InteropServices;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// A tensor on the device between two canaries. Fresh memory is all ones (NaN in every float type, -1 as integer), so reading what an
/// operation did not write shows. Reading back checks the canaries. The host reaches it through copies only.
/// </summary>
internal sealed unsafe class Tensor
{
    private const int Guard = 256;
    private const byte Canary = 0xA5;

    private readonly Rig _rig;
    private readonly DeviceBuffer _buffer;
    private readonly int _bytes;

    public Tensor(Rig rig, DType type, int count)
        : this(rig, type, count, [.. Enumerable.Repeat((byte)0xFF, checked(count * Numbers.Bytes(type)))])
    {
    }

    public Tensor(Rig rig, DType type, ReadOnlySpan<float> values)
        : this(rig, type, values.Length, Numbers.Encode(type, values))
    {
    }

    public Tensor(Rig rig, ReadOnlySpan<int> values)
        : this(rig, DType.I32, values.Length, MemoryMarshal.AsBytes(values))
    {
    }

    private Tensor(Rig rig, DType type, int count, ReadOnlySpan<byte> content)
    {
        (_rig, Type, Count, _bytes) = (rig, type, count, content.Length);
        _buffer = rig.Own(rig.Device.Allocate(Guard + _bytes + Guard));
        byte[] guarded = new byte[Guard + _bytes + Guard];
        guarded.AsSpan().Fill(Canary);
        content.CopyTo(guarded.AsSpan(Guard));
        rig.Upload<byte>(_buffer.Pointer, guarded);
    }

    public DType Type { get; }

    public int Count { get; }

    /// <summary>On the device: for arguments only.</summary>
    public void* Pointer => _buffer.At(Guard);

    public float[] Read() => Numbers.Decode(Type, Bits());

    /// <summary>The values as plain structs.</summary>
    public T[] Read<T>()
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(Bits()).ToArray();

    /// <summary>The raw bytes, for comparisons bit by bit.</summary>
    public byte[] Bits()
    {
        byte[] guarded = _rig.Download<byte>(_buffer.Pointer, Guard + _bytes + Guard);
        Assert.True(guarded.AsSpan(0, Guard).IndexOfAnyExcept(Canary) < 0, "written before the start of a tensor");
        Assert.True(guarded.AsSpan(Guard + _bytes).IndexOfAnyExcept(Canary) < 0, "written past the end of a tensor");
        return guarded[Guard..^Guard];
    }
}
