namespace NativeLM.Engine.Execution;

/// <summary>Offsets of parts inside one allocation, each 64-byte aligned. Sizes are summed, checked, before anything is allocated.</summary>
internal sealed class ArenaLayout
{
    private const int Alignment = 64;

    /// <summary>Bytes of all parts so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>Appends a part and returns its offset.</summary>
    public long Add(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        long offset = Bytes;
        Bytes = checked((offset + bytes + Alignment - 1) / Alignment * Alignment);
        return offset;
    }

    /// <summary>Appends a table of rows × columns elements.</summary>
    public long Add(long rows, long columns, int elementBytes) => Add(checked(rows * columns * elementBytes));
}
