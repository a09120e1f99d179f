using System.Runtime.CompilerServices;

namespace NativeLM.Engine.Memory;

/// <summary>
/// Which KV blocks are free and how many owners the others have. Ids are [0, count); block 0 is the null block, which no one owns.
/// Free blocks stand in a doubly linked list in the order in which they are taken: first the ones whose content nobody can find, the
/// one given back last first (its memory is the warmest), then those that the prefix cache still knows, least recently used first.
/// Every operation is O(1) and allocates nothing. Engine thread only.
/// </summary>
internal sealed class BlockPool
{
    // The null block is the list's sentinel: its Next is the first free block, its Previous the last, itself if there is none.
    private const int NullBlock = 0;

    private readonly Node[] _nodes;

    public BlockPool(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 2);
        _nodes = new Node[count];
        for (int block = 0; block < count; block++)
        {
            _nodes[block].Next = block + 1 < count ? block + 1 : NullBlock;
            _nodes[block].Previous = block > 0 ? block - 1 : count - 1;
        }
        FreeCount = count - 1;
    }

    /// <summary>Blocks that can be owned: all but the null block.</summary>
    public int UsableCount => _nodes.Length - 1;

    /// <summary>Blocks without an owner, whether or not the prefix cache knows them.</summary>
    public int FreeCount { get; private set; }

    /// <summary>Blocks with at least one owner.</summary>
    public int UsedCount => UsableCount - FreeCount;

    /// <summary>Blocks without an owner that the prefix cache knows: a hit revives them, need for blocks evicts them.</summary>
    public int EvictableCount { get; private set; }

    /// <summary>Blocks with more than one owner.</summary>
    public int SharedCount { get; private set; }

    /// <summary>Owners of a block.</summary>
    public int References(int block) => _nodes[Checked(block)].References;

    /// <summary>Whether the prefix cache knows the block.</summary>
    public bool IsIndexed(int block) => _nodes[Checked(block)].IsIndexed;

    /// <summary>
    /// Takes the first free block for one owner. The caller has looked at <see cref="FreeCount"/>. If it was indexed it no longer
    /// is, and the caller removes its entry from the index.
    /// </summary>
    public int Take(out bool wasIndexed)
    {
        int block = _nodes[NullBlock].Next;
        if (block == NullBlock)
            ThrowEmpty();
        ref Node node = ref _nodes[block];
        wasIndexed = node.IsIndexed;
        Unlink(in node);
        if (wasIndexed)
            EvictableCount--;
        node.IsIndexed = false;
        node.References = 1;
        return block;
    }

    /// <summary>Adds an owner to a block that has one.</summary>
    public void AddReference(int block) => SharedCount += _nodes[Owned(block)].References++ == 1 ? 1 : 0;

    /// <summary>Adds an owner to each of some blocks that have one.</summary>
    public void AddReferences(ReadOnlySpan<int> blocks)
    {
        int shared = 0;
        foreach (int block in blocks)
            shared += _nodes[Owned(block)].References++ == 1 ? 1 : 0;
        SharedCount += shared;
    }

    /// <summary>Adds an owner to an indexed block, whether or not it has one: a hit of the prefix cache.</summary>
    public void Touch(int block)
    {
        ref Node node = ref _nodes[Checked(block)];
        if (!node.IsIndexed)
            throw new InvalidOperationException($"KV block {block} is not in the prefix cache");
        if (node.References++ > 0)
        {
            SharedCount += node.References == 2 ? 1 : 0;
            return;
        }
        Unlink(in node);
        EvictableCount--;
    }

    /// <summary>
    /// Takes one owner away. A block without owners is free: an indexed one is evicted after all others, any other is taken next.
    /// </summary>
    public void Release(int block)
    {
        ref Node node = ref _nodes[Owned(block)];
        if (--node.References > 0)
        {
            SharedCount -= node.References == 1 ? 1 : 0;
            return;
        }
        if (node.IsIndexed)
        {
            Link(block, after: _nodes[NullBlock].Previous);
            EvictableCount++;
        }
        else
            Link(block, after: NullBlock);
    }

    /// <summary>The prefix cache knows an owned block from now on.</summary>
    public void MarkIndexed(int block)
    {
        ref Node node = ref _nodes[Owned(block)];
        if (node.IsIndexed)
            throw new InvalidOperationException($"KV block {block} is in the prefix cache already");
        node.IsIndexed = true;
    }

    /// <summary>The prefix cache knows no block any more. O(count).</summary>
    public void ClearIndexed()
    {
        for (int block = 1; block < _nodes.Length; block++)
            _nodes[block].IsIndexed = false;
        EvictableCount = 0;
    }

    /// <summary>Blocks without an owner in the order in which they would be taken.</summary>
    public IEnumerable<int> FreeBlocks()
    {
        for (int block = _nodes[NullBlock].Next; block != NullBlock; block = _nodes[block].Next)
            yield return block;
    }

    /// <summary>Cheap enough for every step: the counts are possible.</summary>
    public void CheckBalance()
    {
        if (FreeCount < 0 || FreeCount > UsableCount || EvictableCount < 0 || EvictableCount > FreeCount || _nodes[NullBlock].References != 0)
            throw new InvariantException($"KV pool: {FreeCount} free blocks, {EvictableCount} of them evictable, {UsableCount} usable; " +
                $"the null block has {_nodes[NullBlock].References} owners");
    }

    /// <summary>
    /// Walks everything: the free list holds each block without owner exactly once, never the null block, in both directions, and no
    /// clean block stands behind an evictable one.
    /// </summary>
    public void CheckInvariants()
    {
        CheckBalance();
        int used = 0, shared = 0;
        for (int block = 1; block < _nodes.Length; block++)
        {
            used += _nodes[block].References > 0 ? 1 : 0;
            shared += _nodes[block].References > 1 ? 1 : 0;
        }
        if (used != UsedCount || shared != SharedCount)
            throw new InvariantException($"KV pool: {used} blocks have owners, {shared} several; the counts say {UsedCount} and {SharedCount}");
        int free = 0, evictable = 0;
        for (int block = _nodes[NullBlock].Next, previous = NullBlock; block != NullBlock; previous = block, block = _nodes[block].Next)
        {
            Node node = _nodes[block];
            if (node.References != 0 || node.Previous != previous || ++free > FreeCount)
                throw new InvariantException($"KV pool: block {block} is in the free list with {node.References} owners, after {previous} " +
                    $"while it names {node.Previous}, or the list is a ring");
            evictable += node.IsIndexed ? 1 : 0;
            if (!node.IsIndexed && evictable > 0)
                throw new InvariantException($"KV pool: clean block {block} stands behind evictable ones");
        }
        if (free != FreeCount || evictable != EvictableCount)
            throw new InvariantException($"KV pool: the free list holds {free} blocks, {evictable} evictable; the counts say {FreeCount} and {EvictableCount}");
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Link(int block, int after)
    {
        int next = _nodes[after].Next;
        _nodes[block].Previous = after;
        _nodes[block].Next = next;
        _nodes[after].Next = block;
        _nodes[next].Previous = block;
        FreeCount++;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Unlink(in Node node)
    {
        _nodes[node.Previous].Next = node.Next;
        _nodes[node.Next].Previous = node.Previous;
        FreeCount--;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Owned(int block)
    {
        if (_nodes[Checked(block)].References == 0)
            ThrowUnowned(block);
        return block;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Checked(int block)
    {
        if (block <= NullBlock || block >= _nodes.Length)
            ThrowOutside(block);
        return block;
    }

    // Throwing apart from the checks lets these be inlined.
    private static void ThrowUnowned(int block) =>
        throw new InvalidOperationException($"KV block {block} has no owner: it was released twice or never taken");

    private void ThrowOutside(int block) =>
        throw new ArgumentOutOfRangeException(nameof(block), block, $"KV block ids are 1 to {UsableCount}");

    private void ThrowEmpty() =>
        throw new InvalidOperationException($"no free KV block: all {UsableCount} are owned; the scheduler must look at FreeCount first");

    /// <summary>What the pool knows of a block, in 16 bytes: a step touches one cache line per block it takes or gives back.</summary>
    private struct Node
    {
        public int Next;
        public int Previous;
        public int References;
        public bool IsIndexed;
    }
}
