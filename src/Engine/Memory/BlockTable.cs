namespace NativeLM.Engine.Memory;

/// <summary>
/// Ids of the KV blocks of one sequence, in order: entry i holds tokens [i·B, (i+1)·B). Those of a swapped-out sequence are blocks of
/// the host pool. Engine thread only.
/// <see cref="DirtyFrom"/> tells the executor which entries changed since it last copied the table.
/// </summary>
internal sealed class BlockTable
{
    private int[] _blocks = new int[8];

    /// <summary>Number of blocks held.</summary>
    public int Count { get; private set; }

    /// <summary>First entry that changed since <see cref="MarkClean"/>.</summary>
    public int DirtyFrom { get; private set; }

    /// <summary>Whether the entries are blocks of the host pool.</summary>
    public bool IsSwapped { get; set; }

    /// <summary>
    /// Blocks from the first that are final: each is in the prefix cache, or an equal one was when it became full. None is written any more.
    /// </summary>
    public int IndexedCount { get; private set; }

    /// <summary>Where the walk along these blocks stands.</summary>
    public PrefixChain Chain { get; private set; }

    /// <summary>How often the prefix cache had been reset when the table began: KV from before a reset is never indexed after it.</summary>
    public int Epoch { get; private set; }

    /// <summary>The ids held.</summary>
    public ReadOnlySpan<int> Blocks => _blocks.AsSpan(0, Count);

    /// <summary>Id at an index below <see cref="Count"/>.</summary>
    public int this[int index] => Blocks[index];

    /// <summary>An empty table begins anew.</summary>
    public void Begin(int epoch)
    {
        Truncate(0);
        IsSwapped = false;
        Epoch = epoch;
        SetIndexed(0, default);
    }

    /// <summary>Appends a block.</summary>
    public void Add(int block)
    {
        if (Count == _blocks.Length)
            Array.Resize(ref _blocks, checked(_blocks.Length * 2));
        _blocks[Count++] = block;
    }

    /// <summary>Appends blocks.</summary>
    public void Add(ReadOnlySpan<int> blocks)
    {
        int needed = checked(Count + blocks.Length);
        if (needed > _blocks.Length)
            Array.Resize(ref _blocks, Math.Max(needed, checked(_blocks.Length * 2)));
        blocks.CopyTo(_blocks.AsSpan(Count));
        Count = needed;
    }

    /// <summary>Replaces an entry (copy-on-write, swap).</summary>
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

    /// <summary>The first <paramref name="count"/> blocks are final, and a walk along them ends at <paramref name="chain"/>.</summary>
    public void SetIndexed(int count, PrefixChain chain)
    {
        IndexedCount = count;
        Chain = chain;
    }

    /// <summary>The executor has copied entries up to <see cref="Count"/>.</summary>
    public void MarkClean() => DirtyFrom = Count;
}
