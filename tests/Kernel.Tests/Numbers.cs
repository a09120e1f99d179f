using System.Buffers.Binary;
using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>Element types on the host side: conversion with round to nearest even, and seeded values that a type holds exactly.</summary>
internal static class Numbers
{
    public static int Bytes(DType type) => type is DType.F32 or DType.I32 ? 4 : 2;

    /// <summary>Half a unit in the last place, relative: the error of one rounding.</summary>
    public static double Roundoff(DType type) => type switch
    {
        DType.F32 => Math.Pow(2, -24),
        DType.BF16 => Math.Pow(2, -8),
        _ => Math.Pow(2, -11),
    };

    public static float Round(DType type, float value) => type switch
    {
        DType.F32 => value,
        DType.BF16 => BitConverter.UInt32BitsToSingle((uint)ToBFloat16(value) << 16),
        _ => (float)(Half)value,
    };

    /// <summary>The bytes of the values in the type.</summary>
    public static byte[] Encode(DType type, ReadOnlySpan<float> values)
    {
        byte[] bytes = new byte[values.Length * Bytes(type)];
        for (int i = 0; i < values.Length; i++)
        {
            Span<byte> at = bytes.AsSpan(i * Bytes(type));
            if (type == DType.F32)
                BinaryPrimitives.WriteSingleLittleEndian(at, values[i]);
            else if (type == DType.BF16)
                BinaryPrimitives.WriteUInt16LittleEndian(at, ToBFloat16(values[i]));
            else
                BinaryPrimitives.WriteHalfLittleEndian(at, (Half)values[i]);
        }
        return bytes;
    }

    public static float[] Decode(DType type, ReadOnlySpan<byte> bytes)
    {
        float[] values = new float[bytes.Length / Bytes(type)];
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> at = bytes[(i * Bytes(type))..];
            values[i] = type switch
            {
                DType.F32 => BinaryPrimitives.ReadSingleLittleEndian(at),
                DType.BF16 => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(at) << 16),
                _ => (float)BinaryPrimitives.ReadHalfLittleEndian(at),
            };
        }
        return values;
    }

    /// <summary>Normally distributed values, exact in the type, the same for a seed on every machine.</summary>
    public static float[] Normal(int seed, int count, DType type, double scale = 1)
    {
        Random random = new(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            double u = 1 - random.NextDouble(), v = random.NextDouble();
            values[i] = Round(type, (float)(scale * Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v)));
        }
        return values;
    }

    /// <summary>Whole numbers from -limit to limit: sums of their products are exact in every type and order.</summary>
    public static float[] Integers(int seed, int count, int limit)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.Next(-limit, limit + 1))];
    }

    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
            return (ushort)(bits >> 16 | 0x40);
        return (ushort)(bits + 0x7FFF + (bits >> 16 & 1) >> 16);
    }
}
