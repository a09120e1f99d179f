namespace NativeLM.Engine.Memory;

/// <summary>
/// Blocks in host memory that hold the KV of swapped-out sequences (the paper's section 4.5). Ids are [0, count); count may be 0.
/// A block has as many owners as swapped tables name it. Every operation is O(1). Engine thread only.
/// </summary>
internal sealed class HostPool
{
    private readonly int[] _references;
    private readonly int[] _free; // a stack: the ids in [0, FreeCount)

    public HostPool(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        _references = new int[count];
        _free = new int[count];
        for (int i = 0; i < count; i++)
            _free[i] = count - 1 - i;
        FreeCount = count;
    }

    /// <summary>Blocks of the pool.</summary>
    public int Count => _references.Length;

    /// <summary>Blocks without an owner.</summary>
    public int FreeCount { get; private set; }

    /// <summary>Blocks with at least one owner.</summary>
    public int UsedCount => Count - FreeCount;

    /// <summary>Owners of a block.</summary>
    public int References(int block) => _references[Checked(block)];

    /// <summary>Takes a free block for one owner. The caller has looked at <see cref="FreeCount"/>.</summary>
    public int Take()
    {
        if (FreeCount == 0)
            throw new InvalidOperationException($"no free host block: all {Count} are owned; the caller must look at FreeCount first");
        int block = _free[--FreeCount];
        _references[block] = 1;
        return block;
    }

    /// <summary>Adds an owner to a block that has one.</summary>
    public void AddReference(int block) => _references[Owned(block)]++;

    /// <summary>Takes one owner away; the block is free when none is left.</summary>
    public void Release(int block)
    {
        if (--_references[Owned(block)] == 0)
            _free[FreeCount++] = block;
    }

    /// <summary>Walks everything: the blocks without owner are exactly those on the stack.</summary>
    public void CheckInvariants()
    {
        HashSet<int> free = [.. _free.AsSpan(0, FreeCount)];
        for (int block = 0; block < Count; block++)
            if (_references[block] < 0 || (_references[block] == 0) != free.Contains(block))
                throw new InvariantException($"host pool: block {block} has {_references[block]} owners and {(free.Contains(block) ? "is" : "is not")} free");
        if (free.Count != FreeCount)
            throw new InvariantException($"host pool: {FreeCount} blocks are free, {free.Count} different ones");
    }

    private int Owned(int block)
    {
        if (_references[Checked(block)] == 0)
            throw new InvalidOperationException($"host block {block} has no owner: it was released twice or never taken");
        return block;
    }

    private int Checked(int block)
    {
        if ((uint)block >= (uint)_references.Length)
            throw new ArgumentOutOfRangeException(nameof(block), block, $"host block ids are 0 to {Count - 1}");
        return block;
    }
}
