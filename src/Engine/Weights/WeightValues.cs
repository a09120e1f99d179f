using System.Numerics;
using System.Runtime.InteropServices;
using NativeLM.Interop;

namespace NativeLM.Engine.Weights;

/// <summary>Checks and conversions of raw weight bytes (little-endian, as safetensors and this machine have them).</summary>
internal static class WeightValues
{
    /// <summary>False if a value is NaN or infinite, or would become infinite when rounded to the target type.</summary>
    public static bool AreFinite(ReadOnlySpan<byte> values, TensorType type, DType target) => type == TensorType.F32
        ? AreBelow(MemoryMarshal.Cast<byte, uint>(values), 0x7fff_ffffu, FirstTooLarge32(target))
        : AreBelow(MemoryMarshal.Cast<byte, ushort>(values), (ushort)0x7fff, FirstTooLarge16(type, target));

    /// <summary>Converts to the compute type, rounding to nearest even.</summary>
    public static void Convert(ReadOnlySpan<byte> source, TensorType type, Span<byte> destination, DType target)
    {
        int count = source.Length / type.Bytes();
        for (int i = 0; i < count; i++)
        {
            float value = type switch
            {
                TensorType.F32 => MemoryMarshal.Read<float>(source[(4 * i)..]),
                TensorType.F16 => (float)MemoryMarshal.Read<Half>(source[(2 * i)..]),
                _ => BitConverter.UInt32BitsToSingle((uint)MemoryMarshal.Read<ushort>(source[(2 * i)..]) << 16),
            };
            if (target == DType.F32)
                MemoryMarshal.Write(destination[(4 * i)..], value);
            else if (target == DType.F16)
                MemoryMarshal.Write(destination[(2 * i)..], (Half)value);
            else
                MemoryMarshal.Write(destination[(2 * i)..], ToBFloat16(value));
        }
    }

    /// <summary>Nearest bfloat16, ties to even; NaN stays NaN.</summary>
    public static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }

    // Magnitude bits of the least value that does not round to a finite one.
    private static uint FirstTooLarge32(DType target) => target switch
    {
        DType.F16 => BitConverter.SingleToUInt32Bits(65520),
        DType.BF16 => 0x7f7f_8000,
        _ => 0x7f80_0000,
    };

    private static ushort FirstTooLarge16(TensorType type, DType target) =>
        type == TensorType.F16 ? (ushort)0x7c00 : target == DType.F16 ? (ushort)0x4780 : (ushort)0x7f80;

    private static bool AreBelow<T>(ReadOnlySpan<T> values, T mask, T limit)
        where T : unmanaged, IBinaryInteger<T>
    {
        Vector<T> masks = new(mask), limits = new(limit);
        int i = 0;
        for (; i <= values.Length - Vector<T>.Count; i += Vector<T>.Count)
            if (Vector.GreaterThanOrEqualAny(new Vector<T>(values.Slice(i, Vector<T>.Count)) & masks, limits))
                return false;
        for (; i < values.Length; i++)
            if ((values[i] & mask) >= limit)
                return false;
        return true;
    }
}
