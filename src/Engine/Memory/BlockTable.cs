namespace NativeLM.Engine.Memory;

/// <summary>
/// Ids of the KV blocks of one sequence, in order: entry i holds tokens [i·B, (i+1)·B). Engine thread only.
/// <see cref="DirtyFrom"/> tells the executor which entries changed since it last copied the table.
/// </summary>
internal sealed class BlockTable
{
    private int[] _blocks = new int[8];

    /// <summary>Number of blocks held.</summary>
    public int Count { get; private set; }

    /// <summary>First entry that changed since <see cref="MarkClean"/>.</summary>
    public int DirtyFrom { get; private set; }

    /// <summary>The ids held.</summary>
    public ReadOnlySpan<int> Blocks => _blocks.AsSpan(0, Count);

    /// <summary>Id at an index below <see cref="Count"/>.</summary>
    public int this[int index] => Blocks[index];

    /// <summary>Appends a block.</summary>
    public void Add(int block)
    {
        if (Count == _blocks.Length)
            Array.Resize(ref _blocks, checked(_blocks.Length * 2));
        _blocks[Count++] = block;
    }

    /// <summary>Replaces an entry (copy-on-write).</summary>
    public void Replace(int index, int block)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count);
        _blocks[index] = block;
        DirtyFrom = Math.Min(DirtyFrom, index);
    }

    /// <summary>Keeps the first <paramref name="count"/> entries.</summary>
    public void Truncate(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)Count);
        Count = count;
        DirtyFrom = Math.Min(DirtyFrom, count);
    }

    /// <summary>The executor has copied entries up to <see cref="Count"/>.</summary>
    public void MarkClean() => DirtyFrom = Count;
}
