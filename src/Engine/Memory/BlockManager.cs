using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine.Memory;

/// <summary>
/// Gives KV blocks to sequences: the paper's block manager (sections 4.2 to 4.5: tables, sharing by reference counts, copy-on-write, swapping)
/// together with a prefix cache. Pure bookkeeping; what has to move on the device goes into a <see cref="StepPlan"/>. Every operation succeeds
/// completely or changes nothing, and none allocates in a steady state. Engine thread only.
/// </summary>
/// <remarks>
/// One rule lets forks and the cache live together: a token may be written into a block only if the block has one owner and is not
/// indexed. Forks share even a partial last block; who writes into it next copies it first. A block that is full and final may be indexed
/// and is never written again.
///
/// Tables are only appended to: a block that turns out to equal an indexed one stays private to its owners and is the first to be reused.
///
/// A plan may write into blocks freed while it was made only because the device runs swap-outs, swap-ins, copies and the forward pass in this
/// order. Within one plan a copied block must therefore not be freed and become the destination of another copy: the scheduler preempts
/// only requests that are not in the plan yet.
/// </remarks>
internal sealed class BlockManager
{
    private readonly PrefixIndex? _index;
    private readonly int[] _writers; // by device block: writers seen by WriteCost, 0 between calls
    private readonly int[] _hostBlocks; // by device block: 1 + the host block it goes to, 0 between calls
    private readonly int[] _deviceBlocks; // by host block: the device block it goes to, 0 between calls
    private int _epoch;

    /// <param name="blockCount">Device blocks, the null block included.</param>
    /// <param name="blockSize">Tokens in a block (B).</param>
    /// <param name="hostBlockCount">Host blocks for swapping; 0 if there is none.</param>
    /// <param name="prefixCaching">Whether blocks are indexed at all.</param>
    /// <param name="hashSeed">Key of the index: random per process, fixed to replay a run.</param>
    public BlockManager(int blockCount, int blockSize, int hostBlockCount, bool prefixCaching, UInt128 hashSeed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        BlockSize = blockSize;
        Pool = new BlockPool(blockCount);
        Host = new HostPool(hostBlockCount);
        _index = prefixCaching ? new PrefixIndex(blockCount, blockSize, hashSeed) : null;
        _writers = new int[blockCount];
        _hostBlocks = new int[blockCount];
        _deviceBlocks = new int[hostBlockCount];
    }

    /// <summary>Device blocks.</summary>
    public BlockPool Pool { get; }

    /// <summary>Host blocks, for swapping.</summary>
    public HostPool Host { get; }

    /// <summary>Tokens in a block.</summary>
    public int BlockSize { get; }

    /// <summary>The prefix cache's index, or null if it is off. Tests forge collisions with its key.</summary>
    public PrefixIndex? PrefixIndex => _index;

    /// <summary>Tokens looked up in the prefix cache by requests that then got their blocks.</summary>
    public long QueriedTokens { get; private set; }

    /// <summary>Those of them that were found.</summary>
    public long HitTokens { get; private set; }

    /// <summary>Shared blocks copied because someone wrote into them.</summary>
    public long CopyCount { get; private set; }

    /// <summary>Indexed blocks that were taken for other content.</summary>
    public long EvictionCount { get; private set; }

    /// <summary>
    /// Finds the longest indexed beginning of some tokens in whole blocks. At least one token is left out, since the logits of the last
    /// have to be computed. Changes nothing but <paramref name="match"/>.
    /// </summary>
    public void Match(ReadOnlySpan<int> tokens, UInt128 salt, PrefixMatch match)
    {
        match.Clear();
        if (_index is null)
            return;
        PrefixChain chain = _index.Root(salt);
        match.Start(tokens.Length, chain, _index.Version);
        int count = Math.Max(tokens.Length - 1, 0) / BlockSize;
        for (int i = 0; i < count; i++)
        {
            int block = _index.Find(ref chain, salt, tokens.Slice(i * BlockSize, BlockSize));
            if (block == 0)
                return;
            match.Add(block, BlockSize, chain);
        }
    }

    /// <summary>Gives an empty table the blocks of a match and new ones for the rest.</summary>
    /// <param name="table">An empty table.</param>
    /// <param name="match">What <see cref="Match"/> has just found, or an empty match.</param>
    /// <param name="tokens">Tokens that the table holds in total.</param>
    /// <param name="margin">Free blocks that must be left. Matched blocks without an owner count as taken.</param>
    /// <returns>False, and nothing changed, if there are too few free blocks.</returns>
    public bool TryReserve(BlockTable table, PrefixMatch match, long tokens, int margin)
    {
        long added = checked(KvDemand.Blocks(tokens, BlockSize) - match.BlockCount);
        if (table.Count != 0 || added < 0)
            throw new ArgumentException($"a table with {table.Count} blocks cannot take a match of {match.BlockCount} blocks for {tokens} tokens");
        if (match.BlockCount > 0 && match.Version != _index!.Version)
            throw new ArgumentException("the match is out of date: blocks were taken after it was found", nameof(match));
        long consumed = added;
        foreach (int block in match.Blocks)
            consumed += Pool.References(block) == 0 ? 1 : 0;
        if (IsTooMuch(consumed, margin))
            return false;
        table.Begin(_epoch);
        // Before anything is taken: a block that the match found must not be evicted for its own request.
        foreach (int block in match.Blocks)
            Pool.Touch(block);
        table.Add(match.Blocks);
        table.SetIndexed(match.BlockCount, match.Chain);
        AddBlocks(table, added);
        QueriedTokens += match.QueriedCount;
        HitTokens += match.TokenCount;
        return true;
    }

    /// <summary>Gives a table more blocks at its end.</summary>
    /// <param name="table">The table.</param>
    /// <param name="tokens">Tokens that it holds in total; fewer than it has room for change nothing.</param>
    /// <param name="margin">Free blocks that must be left.</param>
    /// <returns>False, and nothing changed, if there are too few free blocks.</returns>
    public bool TryGrow(BlockTable table, long tokens, int margin)
    {
        RequireOnDevice(table);
        long added = KvDemand.Blocks(tokens, BlockSize) - table.Count;
        if (IsTooMuch(added, margin))
            return false;
        if (table.Count == 0)
            table.Begin(_epoch);
        AddBlocks(table, added);
        return true;
    }

    /// <summary>Makes an empty table share the first blocks of another, a partial last one included. Takes no block and cannot fail.</summary>
    public void Fork(BlockTable parent, BlockTable child, int blockCount)
    {
        if (child.Count != 0)
            throw new ArgumentException($"the child's table already has {child.Count} blocks", nameof(child));
        ReadOnlySpan<int> shared = parent.Blocks[..blockCount];
        if (parent.IsSwapped)
            foreach (int block in shared)
                Host.AddReference(block);
        else
            Pool.AddReferences(shared);
        child.Begin(parent.Epoch);
        child.Add(shared);
        child.IsSwapped = parent.IsSwapped;
        // A shorter walk along the blocks is not known; the child's first Index call repeats it.
        if (parent.IndexedCount <= blockCount)
            child.SetIndexed(parent.IndexedCount, parent.Chain);
    }

    /// <summary>
    /// Free blocks that are consumed if each table is written at its position, all in one step: a new one at a block boundary, a copy
    /// where the block is shared. Of tables that share a block all copy it but the last, unless others share it too.
    /// </summary>
    public int WriteCost(ReadOnlySpan<BlockTable> tables, ReadOnlySpan<int> positions)
    {
        int cost = 0;
        for (int i = 0; i < tables.Length; i++)
        {
            int index = EntryOf(tables[i], positions[i]);
            if (index == tables[i].Count)
                cost++;
            else if (Pool.References(tables[i][index]) - _writers[tables[i][index]] > 1)
            {
                _writers[tables[i][index]]++;
                cost++;
            }
        }
        for (int i = 0; i < tables.Length; i++)
        {
            int index = positions[i] / BlockSize;
            if (index < tables[i].Count)
                _writers[tables[i][index]] = 0;
        }
        return cost;
    }

    /// <summary>
    /// Makes a position writable: takes a new block at the end of the table, or copies the block if it is shared (section 4.4). The caller
    /// has compared <see cref="WriteCost"/> with the free blocks and goes on to write in this plan.
    /// </summary>
    public void PrepareWrite(BlockTable table, int position, StepPlan plan)
    {
        int index = EntryOf(table, position);
        if (index == table.Count)
        {
            if (index == 0)
                table.Begin(_epoch);
            table.Add(Take());
            return;
        }
        int source = table[index];
        if (Pool.References(source) == 1)
        {
            if (Pool.IsIndexed(source))
                throw new InvariantException($"position {position} is in KV block {source}, which is indexed and so is never written");
            return;
        }
        int copy = Take();
        plan.Add(new BlockCopy(source, copy));
        table.Replace(index, copy);
        Pool.Release(source);
        CopyCount++;
    }

    /// <summary>
    /// Puts the blocks of a table into the prefix cache that became full and final since the last call. Where an equal block is known
    /// the table's own stays private.
    /// </summary>
    /// <param name="table">A table on the device.</param>
    /// <param name="tokens">Tokens of its sequence, at least the final ones.</param>
    /// <param name="salt">As in <see cref="Match"/>.</param>
    /// <param name="finalCount">Tokens whose K and V are computed and stay.</param>
    public void Index(BlockTable table, ReadOnlySpan<int> tokens, UInt128 salt, int finalCount)
    {
        RequireOnDevice(table);
        int end = finalCount / BlockSize;
        if (end > table.Count || finalCount > tokens.Length)
            throw new ArgumentException($"{finalCount} final tokens of {tokens.Length} known ones in {table.Count} blocks of {BlockSize}");
        if (_index is null || end <= table.IndexedCount)
            return;
        int i = table.IndexedCount;
        PrefixChain chain = i == 0 ? _index.Root(salt) : table.Chain;
        for (; i < end && table.Epoch == _epoch; i++)
        {
            ReadOnlySpan<int> content = tokens.Slice(i * BlockSize, BlockSize);
            if (_index.Find(ref chain, salt, content) != 0)
                continue;
            // A block of its own entry that was not found: an equal block stood before it, was evicted and has come back.
            if (Pool.IsIndexed(table[i]))
                _index.Remove(table[i]);
            else
                Pool.MarkIndexed(table[i]);
            _index.Add(table[i], ref chain, salt, content);
        }
        table.SetIndexed(end, chain);
    }

    /// <summary>
    /// Empties a table, last block first: of blocks that become evictable together the deepest is evicted first, so that what is left of
    /// a prefix can still be found. A swapped table gives back its host blocks.
    /// </summary>
    public void Free(BlockTable table)
    {
        ReadOnlySpan<int> blocks = table.Blocks;
        for (int i = blocks.Length - 1; i >= 0; i--)
            if (table.IsSwapped)
                Host.Release(blocks[i]);
            else
                Pool.Release(blocks[i]);
        table.Begin(_epoch);
    }

    /// <summary>Gives back the blocks past some tokens: rejected drafts. Final blocks stay.</summary>
    public void Truncate(BlockTable table, int tokens)
    {
        RequireOnDevice(table);
        int count = (int)KvDemand.Blocks(tokens, BlockSize);
        if (tokens < (long)table.IndexedCount * BlockSize)
            throw new ArgumentException($"{table.IndexedCount} blocks of {BlockSize} tokens are final, {tokens} tokens would cut into them");
        for (int i = table.Count - 1; i >= count; i--)
            Pool.Release(table[i]);
        if (count < table.Count)
            table.Truncate(count);
    }

    /// <summary>Moves all blocks of some tables to the host, shared ones once (section 4.5). The entries become host blocks.</summary>
    /// <returns>False, and nothing changed, if the host pool has too few free blocks.</returns>
    public bool TrySwapOut(ReadOnlySpan<BlockTable> tables, StepPlan plan)
    {
        foreach (BlockTable table in tables)
            RequireOnDevice(table);
        if (plan.SwapIns.Length > 0)
            throw new InvariantException("a step that swaps blocks in cannot swap others out");
        if (CountDistinct(tables, _hostBlocks) > Host.FreeCount)
            return false;
        int planned = plan.SwapOuts.Length;
        foreach (BlockTable table in tables)
        {
            for (int i = table.Count - 1; i >= 0; i--)
            {
                int block = table[i];
                table.Replace(i, ToHost(block, plan));
                Pool.Release(block);
            }
            table.IsSwapped = true;
        }
        foreach (BlockSwap swap in plan.SwapOuts[planned..])
            _hostBlocks[swap.DeviceBlock] = 0;
        return true;
    }

    /// <summary>
    /// Moves all blocks of some swapped tables back to the device, shared ones once. They are private copies: the next Index call
    /// finds out whether the prefix cache still knows equal ones.
    /// </summary>
    /// <returns>False, and nothing changed, if it consumes more than the free blocks less <paramref name="margin"/>.</returns>
    public bool TrySwapIn(ReadOnlySpan<BlockTable> tables, int margin, StepPlan plan)
    {
        foreach (BlockTable table in tables)
            if (!table.IsSwapped)
                throw new ArgumentException("a table is not swapped out", nameof(tables));
        if (plan.SwapOuts.Length > 0)
            throw new InvariantException("a step that swaps blocks out cannot swap others in");
        if (IsTooMuch(CountDistinct(tables, _deviceBlocks), margin))
            return false;
        int planned = plan.SwapIns.Length;
        foreach (BlockTable table in tables)
        {
            for (int i = 0; i < table.Count; i++)
            {
                int block = table[i];
                table.Replace(i, ToDevice(block, plan));
                Host.Release(block);
            }
            table.IsSwapped = false;
            table.SetIndexed(0, default);
        }
        foreach (BlockSwap swap in plan.SwapIns[planned..])
            _deviceBlocks[swap.HostBlock] = 0;
        return true;
    }

    /// <summary>
    /// Forgets every index entry. Owners keep their blocks, but nothing that was computed before, or goes on from it, is ever found again.
    /// </summary>
    public void ResetPrefixCache()
    {
        _index?.Clear();
        Pool.ClearIndexed();
        _epoch++;
    }

    /// <summary>
    /// Checks everything against everything: the pools, the index, and reference counts against the tables, which must be all there are.
    /// </summary>
    public void CheckInvariants(IEnumerable<BlockTable> tables)
    {
        Pool.CheckInvariants();
        Host.CheckInvariants();
        _index?.CheckInvariants();
        int[] owners = new int[Pool.UsableCount + 1], hostOwners = new int[Host.Count];
        foreach (BlockTable table in tables)
        {
            HashSet<int> seen = [];
            foreach (int block in table.Blocks)
            {
                (table.IsSwapped ? hostOwners : owners)[block]++;
                if (!seen.Add(block))
                    throw new InvariantException($"block {block} is in one table twice");
            }
            if (table.IndexedCount > table.Count)
                throw new InvariantException($"{table.IndexedCount} of {table.Count} blocks of a table are final");
        }
        int indexed = 0;
        for (int block = 1; block < owners.Length; block++)
        {
            indexed += Pool.IsIndexed(block) ? 1 : 0;
            if (owners[block] != Pool.References(block) || Pool.IsIndexed(block) != (_index?.Contains(block) ?? false))
                throw new InvariantException($"KV block {block} is in {owners[block]} tables and has {Pool.References(block)} owners; " +
                    $"the pool says {(Pool.IsIndexed(block) ? "indexed" : "not indexed")}, the index the {(_index?.Contains(block) == Pool.IsIndexed(block) ? "same" : "opposite")}");
        }
        for (int block = 0; block < hostOwners.Length; block++)
            if (hostOwners[block] != Host.References(block))
                throw new InvariantException($"host block {block} is in {hostOwners[block]} tables and has {Host.References(block)} owners");
        if (owners[0] != 0 || indexed != (_index?.Count ?? 0))
            throw new InvariantException($"the null block is in {owners[0]} tables; {indexed} blocks are indexed, the index counts {_index?.Count ?? 0}");
    }

    private bool IsTooMuch(long consumed, int margin) => consumed > 0 && consumed > (long)Pool.FreeCount - margin;

    private void AddBlocks(BlockTable table, long count)
    {
        for (long i = 0; i < count; i++)
            table.Add(Take());
    }

    private int Take()
    {
        int block = Pool.Take(out bool wasIndexed);
        if (wasIndexed)
        {
            _index!.Remove(block);
            EvictionCount++;
        }
        return block;
    }

    /// <summary>Index of the entry that a position is written into; it may be the one after the last.</summary>
    private int EntryOf(BlockTable table, int position)
    {
        RequireOnDevice(table);
        int index = position / BlockSize;
        if (position < 0 || index > table.Count || index < table.IndexedCount)
            throw new ArgumentOutOfRangeException(nameof(position), position,
                $"the table has {table.Count} blocks of {BlockSize} tokens, the first {table.IndexedCount} are final");
        return index;
    }

    /// <summary>Host block of a device block that is being swapped out.</summary>
    private int ToHost(int block, StepPlan plan)
    {
        int host = _hostBlocks[block] - 1;
        if (host >= 0)
        {
            Host.AddReference(host);
            return host;
        }
        host = Host.Take();
        _hostBlocks[block] = host + 1;
        plan.AddSwapOut(new BlockSwap(block, host));
        return host;
    }

    /// <summary>Device block of a host block that is being swapped in.</summary>
    private int ToDevice(int hostBlock, StepPlan plan)
    {
        int block = _deviceBlocks[hostBlock];
        if (block != 0)
        {
            Pool.AddReference(block);
            return block;
        }
        block = Take();
        _deviceBlocks[hostBlock] = block;
        plan.AddSwapIn(new BlockSwap(block, hostBlock));
        return block;
    }

    /// <summary>Different blocks in some tables.</summary>
    /// <param name="tables">Tables of one pool.</param>
    /// <param name="seen">By block of that pool; all 0 before and after.</param>
    private static int CountDistinct(ReadOnlySpan<BlockTable> tables, int[] seen)
    {
        int count = 0;
        foreach (BlockTable table in tables)
            foreach (int block in table.Blocks)
                count += seen[block]++ == 0 ? 1 : 0;
        foreach (BlockTable table in tables)
            foreach (int block in table.Blocks)
                seen[block] = 0;
        return count;
    }

    private static void RequireOnDevice(BlockTable table)
    {
        if (table.IsSwapped)
            throw new InvalidOperationException("the table is swapped out: its entries are host blocks");
    }
}
