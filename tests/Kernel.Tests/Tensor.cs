using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// A tensor on the device between two canaries. Fresh memory is all ones (NaN in every float type, -1 as integer), so reading what an
/// operation did not write shows. Reading back checks the canaries.
/// </summary>
internal sealed unsafe class Tensor
{
    private const int Guard = 256;
    private const byte Canary = 0xA5;

    private readonly DeviceBuffer _buffer;
    private readonly int _bytes;

    public Tensor(Rig rig, DType type, int count)
    {
        Type = type;
        Count = count;
        _bytes = checked(count * (type == DType.I32 ? 4 : Numbers.Bytes(type)));
        _buffer = rig.Own(rig.Device.Allocate(Guard + _bytes + Guard));
        _buffer.AsSpan<byte>().Fill(Canary);
        Data.Fill(0xFF);
    }

    public DType Type { get; }

    public int Count { get; }

    public void* Pointer => _buffer.At(Guard);

    private Span<byte> Data => _buffer.AsSpan<byte>(Guard)[.._bytes];

    public Tensor Write(ReadOnlySpan<float> values)
    {
        Assert.Equal(Count, values.Length);
        for (int i = 0; i < values.Length; i++)
            Numbers.Store(Type, Pointer, i, values[i]);
        return this;
    }

    public Tensor Write(ReadOnlySpan<int> values)
    {
        values.CopyTo(new Span<int>(Pointer, Count));
        return this;
    }

    public float[] Read()
    {
        CheckCanaries();
        float[] values = new float[Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = Numbers.Load(Type, Pointer, i);
        return values;
    }

    /// <summary>The raw bytes, for comparisons bit by bit.</summary>
    public byte[] Bits()
    {
        CheckCanaries();
        return Data.ToArray();
    }

    private void CheckCanaries()
    {
        Assert.True(_buffer.AsSpan<byte>()[..Guard].IndexOfAnyExcept(Canary) < 0, "written before the start of a tensor");
        Assert.True(_buffer.AsSpan<byte>(Guard + _bytes).IndexOfAnyExcept(Canary) < 0, "written past the end of a tensor");
    }
}
