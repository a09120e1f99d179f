namespace NativeLM.Engine.Memory;

/// <summary>
/// Which KV blocks are free and how many owners the others have. Ids are [0, count); block 0 is the null block, which no one
/// owns. Every operation is O(1). The last block given back is the next one taken: its memory is the warmest. Engine thread only.
/// </summary>
internal sealed class BlockPool
{
    private const int NullBlock = 0;

    private readonly int[] _references;
    private readonly int[] _next; // of a free block: the free block taken after it, or the null block at the end
    private int _head;

    public BlockPool(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 2);
        _references = new int[count];
        _next = new int[count];
        for (int block = 1; block < count; block++)
            _next[block] = block + 1 < count ? block + 1 : NullBlock;
        _head = 1;
        FreeCount = count - 1;
    }

    /// <summary>Blocks that can be owned: all but the null block.</summary>
    public int UsableCount => _references.Length - 1;

    /// <summary>Blocks without an owner.</summary>
    public int FreeCount { get; private set; }

    /// <summary>Blocks with at least one owner.</summary>
    public int UsedCount { get; private set; }

    /// <summary>Owners of a block.</summary>
    public int References(int block) => _references[Checked(block)];

    /// <summary>Takes a free block for one owner. The caller has looked at <see cref="FreeCount"/>.</summary>
    public int Take()
    {
        int block = _head;
        if (block == NullBlock)
            throw new InvalidOperationException($"no free KV block: all {UsableCount} are owned; the scheduler must look at FreeCount first");
        _head = _next[block];
        _references[block] = 1;
        FreeCount--;
        UsedCount++;
        return block;
    }

    /// <summary>Adds an owner to a block that has one.</summary>
    public void AddReference(int block) => _references[Owned(block)]++;

    /// <summary>Takes one owner away; the block is free when none is left.</summary>
    public void Release(int block)
    {
        if (--_references[Owned(block)] > 0)
            return;
        _next[block] = _head;
        _head = block;
        UsedCount--;
        FreeCount++;
    }

    /// <summary>Cheap enough for every step: free and used blocks add up.</summary>
    public void CheckBalance()
    {
        if (FreeCount + UsedCount != UsableCount || FreeCount < 0 || UsedCount < 0)
            throw new InvariantException($"KV pool: {FreeCount} free + {UsedCount} used blocks, {UsableCount} usable");
    }

    /// <summary>Walks everything: the free list holds each block without owner exactly once, and never the null block.</summary>
    public void CheckInvariants()
    {
        CheckBalance();
        int used = _references.Count(r => r > 0);
        if (used != UsedCount || _references.Any(r => r < 0) || _references[NullBlock] != 0)
            throw new InvariantException($"KV pool: {used} blocks have owners, the count says {UsedCount}; null block has {_references[NullBlock]}");
        int free = 0;
        for (int block = _head; block != NullBlock; block = _next[block])
            if (_references[block] != 0 || ++free > FreeCount)
                throw new InvariantException($"KV pool: block {block} is in the free list with {_references[block]} owners, or the list is a ring");
        if (free != FreeCount)
            throw new InvariantException($"KV pool: the free list holds {free} blocks, the count says {FreeCount}");
    }

    private int Owned(int block)
    {
        if (_references[Checked(block)] == 0)
            throw new InvalidOperationException($"KV block {block} has no owner: it was released twice or never taken");
        return block;
    }

    private int Checked(int block)
    {
        if (block <= NullBlock || block >= _references.Length)
            throw new ArgumentOutOfRangeException(nameof(block), block, $"KV block ids are 1 to {UsableCount}");
        return block;
    }
}
