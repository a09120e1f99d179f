using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

public sealed class BlockManagerTests
{
    private const int B = 4;

    private readonly BlockManager _manager = new(33, B, hostBlockCount: 16, prefixCaching: true, hashSeed: 7);
    private readonly StepPlan _plan = new(8, copiesMax: 8, swapsMax: 32);
    private readonly PrefixMatch _nothing = new();

    [Fact]
    public void A_fork_shares_every_block_and_takes_none()
    {
        BlockTable parent = Table(10), child = new();
        int free = _manager.Pool.FreeCount;
        _manager.Fork(parent, child, parent.Count);
        Assert.Equal(parent.Blocks.ToArray(), child.Blocks.ToArray());
        Assert.Equal(free, _manager.Pool.FreeCount);
        Assert.All(parent.Blocks.ToArray(), block => Assert.Equal(2, _manager.Pool.References(block)));
        _manager.CheckInvariants([parent, child]);
    }

    [Fact]
    public void A_fork_into_a_table_with_blocks_is_an_error()
    {
        BlockTable parent = Table(10), child = Table(1);
        Assert.Throws<ArgumentException>(() => _manager.Fork(parent, child, 1));
        _manager.CheckInvariants([parent, child]);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void Of_k_sequences_that_write_into_a_shared_block_all_but_the_last_copy_it(int k)
    {
        BlockTable[] tables = Forks(Table(10), k);
        int shared = tables[0][2];
        int[] positions = [.. Enumerable.Repeat(10, k)];
        Assert.Equal(k - 1, _manager.WriteCost(tables, positions));
        int free = _manager.Pool.FreeCount;
        foreach (BlockTable table in tables)
            _manager.PrepareWrite(table, 10, _plan);
        Assert.Equal((k - 1, free - (k - 1), (long)(k - 1)), (_plan.Copies.Length, _manager.Pool.FreeCount, _manager.CopyCount));
        Assert.All(_plan.Copies.ToArray(), copy => Assert.Equal(shared, copy.Source));
        Assert.Equal(shared, tables[^1][2]);
        Assert.Equal(k, tables.Select(t => t[2]).Distinct().Count());
        Assert.All(tables, t => Assert.Equal(tables[0].Blocks[..2].ToArray(), t.Blocks[..2].ToArray()));
        _manager.CheckInvariants(tables);
    }

    [Fact]
    public void Every_writer_copies_if_one_that_does_not_write_shares_the_block()
    {
        BlockTable[] tables = Forks(Table(10), 4);
        Assert.Equal(3, _manager.WriteCost(tables.AsSpan(1), [10, 10, 10]));
        foreach (BlockTable table in tables[1..])
            _manager.PrepareWrite(table, 10, _plan);
        Assert.Equal((3, 1), (_plan.Copies.Length, _manager.Pool.References(tables[0][2])));
        Assert.Equal(0, _manager.WriteCost([tables[0]], [10]));
    }

    [Fact]
    public void At_a_block_boundary_every_sequence_gets_a_new_block_and_nothing_is_copied()
    {
        BlockTable[] tables = Forks(Table(8), 3);
        Assert.Equal(3, _manager.WriteCost(tables, [8, 8, 8]));
        foreach (BlockTable table in tables)
            _manager.PrepareWrite(table, 8, _plan);
        Assert.Empty(_plan.Copies.ToArray());
        Assert.Equal(3, tables.Select(t => t[2]).Distinct().Count());
        _manager.CheckInvariants(tables);
    }

    [Fact]
    public void A_changed_entry_of_a_table_is_copied_to_the_device_again()
    {
        BlockTable[] tables = Forks(Table(10), 2);
        tables[0].MarkClean();
        _manager.PrepareWrite(tables[0], 10, _plan);
        Assert.Equal((2, 3), (tables[0].DirtyFrom, tables[0].Count));
        tables[0].MarkClean();
        _manager.PrepareWrite(tables[0], 12, _plan);
        Assert.Equal((3, 4), (tables[0].DirtyFrom, tables[0].Count));
    }

    [Fact]
    public void A_final_block_is_never_written_or_given_back_as_a_draft()
    {
        BlockTable table = Table(8);
        _manager.Index(table, [1, 2, 3, 4, 5, 6, 7, 8], salt: 0, finalCount: 8);
        Assert.Throws<ArgumentOutOfRangeException>(() => _manager.PrepareWrite(table, 7, _plan));
        Assert.Throws<ArgumentOutOfRangeException>(() => _manager.WriteCost([table], [0]));
        Assert.Throws<ArgumentException>(() => _manager.Truncate(table, 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => _manager.PrepareWrite(table, 12, _plan));
        Assert.Throws<ArgumentException>(() => _manager.Index(table, new int[12], salt: 0, finalCount: 12));
        BlockTable fork = new();
        _manager.Fork(table, fork, 1); // its walk along final blocks is unknown, but the block is indexed all the same
        _manager.Free(table);
        Assert.Throws<InvariantException>(() => _manager.PrepareWrite(fork, 3, _plan));
        _manager.CheckInvariants([fork]);
    }

    [Fact]
    public void Rejected_drafts_give_back_whole_blocks_only()
    {
        BlockTable table = Table(9);
        Assert.True(_manager.TryGrow(table, 17, margin: 0));
        table.MarkClean();
        _manager.Truncate(table, 10);
        Assert.Equal((3, 3), (table.Count, table.DirtyFrom));
        _manager.Truncate(table, 12);
        Assert.Equal(3, table.Count);
        _manager.CheckInvariants([table]);
    }

    [Fact]
    public void Blocks_are_given_completely_or_not_at_all()
    {
        BlockTable table = new();
        Assert.False(_manager.TryReserve(table, _nothing, (32 * B) + 1, margin: 0));
        Assert.False(_manager.TryReserve(table, _nothing, 31 * B, margin: 2));
        Assert.False(_manager.TryReserve(table, _nothing, long.MaxValue / 2, margin: 0));
        Assert.False(_manager.TryReserve(table, _nothing, B, margin: int.MaxValue));
        Assert.Equal((0, 32), (table.Count, _manager.Pool.FreeCount));
        Assert.True(_manager.TryReserve(table, _nothing, 30 * B, margin: 2));
        Assert.False(_manager.TryGrow(table, 33 * B, margin: 0));
        Assert.False(_manager.TryGrow(table, 31 * B, margin: 2));
        Assert.Equal((30, 2), (table.Count, _manager.Pool.FreeCount));
        Assert.True(_manager.TryGrow(table, 30 * B, margin: int.MaxValue)); // nothing to take
        Assert.True(_manager.TryGrow(table, 32 * B, margin: 0));
        _manager.Free(table);
        Assert.Equal((0, 32), (table.Count, _manager.Pool.FreeCount));
    }

    [Fact]
    public void A_block_given_back_is_the_next_one_taken()
    {
        BlockTable a = Table(4), b = Table(4);
        int block = a[0];
        _manager.Free(a);
        Assert.True(_manager.TryGrow(b, 8, margin: 0));
        Assert.Equal(block, b[1]);
    }

    [Fact]
    public void Ten_thousand_random_forks_and_frees_leave_the_pool_exactly_as_before()
    {
        Random random = new(11);
        BlockTable root = Table(10);
        List<BlockTable> tables = [root];
        int[] free = [.. _manager.Pool.FreeBlocks()];
        for (int i = 0; i < 10_000; i++)
        {
            if (tables.Count == 1 || (tables.Count < 40 && random.Next(2) == 0))
            {
                BlockTable child = new(), parent = tables[random.Next(tables.Count)];
                _manager.Fork(parent, child, random.Next(parent.Count + 1));
                tables.Add(child);
            }
            else
            {
                int ended = random.Next(1, tables.Count);
                _manager.Free(tables[ended]);
                tables.RemoveAt(ended);
            }
        }
        _manager.CheckInvariants(tables);
        foreach (BlockTable table in tables.Skip(1))
            _manager.Free(table);
        Assert.Equal(free, _manager.Pool.FreeBlocks());
        Assert.All(root.Blocks.ToArray(), block => Assert.Equal(1, _manager.Pool.References(block)));
        _manager.CheckInvariants([root]);
    }

    [Fact]
    public void Swapping_moves_shared_blocks_once_and_keeps_them_shared()
    {
        BlockTable[] tables = Forks(Table(10), 3);
        _manager.PrepareWrite(tables[1], 10, _plan);
        _plan.Clear();
        int[][] before = [.. tables.Select(t => t.Blocks.ToArray())];
        Assert.True(_manager.TrySwapOut(tables, _plan));
        Assert.Equal((4, 4, 32), (_plan.SwapOuts.Length, _manager.Host.UsedCount, _manager.Pool.FreeCount));
        Dictionary<int, int> moved = _plan.SwapOuts.ToArray().ToDictionary(s => s.DeviceBlock, s => s.HostBlock);
        Assert.Equal(before.Select(blocks => blocks.Select(block => moved[block]).ToArray()), tables.Select(t => t.Blocks.ToArray()));
        _manager.CheckInvariants(tables);

        _plan.Clear();
        Assert.True(_manager.TrySwapIn(tables, margin: 28, _plan));
        Assert.Equal((4, 0, 28), (_plan.SwapIns.Length, _manager.Host.UsedCount, _manager.Pool.FreeCount));
        Assert.Equal(tables[0].Blocks.ToArray(), tables[2].Blocks.ToArray());
        Assert.Equal(tables[0].Blocks[..2].ToArray(), tables[1].Blocks[..2].ToArray());
        Assert.NotEqual(tables[0][2], tables[1][2]);
        Assert.All(tables, t => Assert.Equal(0, t.DirtyFrom));
        _manager.CheckInvariants(tables);
    }

    [Fact]
    public void Without_room_on_the_other_side_swapping_changes_nothing()
    {
        BlockTable large = Table(17 * B), small = Table(4 * B), last = Table(11 * B);
        int[] blocks = large.Blocks.ToArray();
        Assert.False(_manager.TrySwapOut([small, large], _plan));
        Assert.Equal((0, 0), (_plan.SwapOuts.Length, _manager.Host.UsedCount));
        Assert.Equal(blocks, large.Blocks.ToArray());
        Assert.True(_manager.TrySwapOut([small], _plan));
        Assert.True(_manager.TryGrow(last, 15 * B, margin: 0));
        _plan.Clear();
        Assert.False(_manager.TrySwapIn([small], margin: 0, _plan));
        Assert.Equal((0, 4, true), (_plan.SwapIns.Length, _manager.Host.UsedCount, small.IsSwapped));
        _manager.CheckInvariants([large, small, last]);
    }

    [Fact]
    public void Swapped_tables_can_be_forked_and_freed_but_not_written()
    {
        BlockTable table = Table(10), child = new();
        Assert.True(_manager.TrySwapOut([table], _plan));
        _manager.Fork(table, child, 3);
        Assert.True(child.IsSwapped);
        _manager.CheckInvariants([table, child]);
        Assert.Throws<InvalidOperationException>(() => _manager.TryGrow(table, 20, margin: 0));
        Assert.Throws<InvalidOperationException>(() => _manager.PrepareWrite(table, 10, _plan));
        Assert.Throws<InvalidOperationException>(() => _manager.Index(table, new int[10], salt: 0, finalCount: 10));
        Assert.Throws<InvalidOperationException>(() => _manager.TrySwapOut([table], _plan));
        _manager.Free(table);
        Assert.Equal(3, _manager.Host.UsedCount);
        _manager.Free(child);
        Assert.Equal((0, 32), (_manager.Host.UsedCount, _manager.Pool.FreeCount));
        Assert.True(_manager.TryGrow(table, 4, margin: 0));
        _manager.CheckInvariants([table, child]);
    }

    [Fact]
    public void A_step_never_swaps_in_both_directions()
    {
        BlockTable a = Table(4), b = Table(4);
        Assert.True(_manager.TrySwapOut([a], _plan));
        Assert.Throws<InvariantException>(() => _manager.TrySwapIn([a], margin: 0, _plan));
        _plan.Clear();
        Assert.True(_manager.TrySwapIn([a], margin: 0, _plan));
        Assert.Throws<InvariantException>(() => _manager.TrySwapOut([b], _plan));
        _manager.CheckInvariants([a, b]);
    }

    [Fact]
    public void What_was_swapped_out_of_the_cache_enters_it_again_after_coming_back()
    {
        BlockTable table = Table(8);
        int[] tokens = [1, 2, 3, 4, 5, 6, 7, 8];
        _manager.Index(table, tokens, salt: 0, finalCount: 8);
        Assert.True(_manager.TrySwapOut([table], _plan));
        Assert.Equal(2, _manager.Pool.EvictableCount);
        BlockTable filler = Table(32 * B);
        _manager.Free(filler);
        _plan.Clear();
        Assert.True(_manager.TrySwapIn([table], margin: 0, _plan));
        Assert.Equal(0, table.IndexedCount);
        _manager.Index(table, tokens, salt: 0, finalCount: 8);
        PrefixMatch match = new();
        _manager.Match([.. tokens, 9], salt: 0, match);
        Assert.Equal(table.Blocks.ToArray(), match.Blocks.ToArray());
    }

    [Fact]
    public void Steady_operations_allocate_nothing()
    {
        BlockManager manager = new(300, 16, hostBlockCount: 150, prefixCaching: true, hashSeed: 7);
        StepPlan plan = new(8, copiesMax: 8, swapsMax: 300);
        PrefixMatch match = new();
        int[] tokens = [.. Enumerable.Range(0, 2000)];
        BlockTable table = new(), fork = new();
        for (int round = 0; round < 4; round++) // lists grow in the first, the list of matched blocks in the second
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            manager.Match(tokens, salt: 0, match);
            bool done = manager.TryReserve(table, match, 1995, margin: 2);
            manager.Fork(table, fork, table.Count);
            manager.PrepareWrite(fork, 1995, plan);
            manager.Index(table, tokens, salt: 0, finalCount: 1995);
            done &= manager.TryGrow(fork, 2100, margin: 0);
            manager.Truncate(fork, 2000);
            manager.Free(fork);
            done &= manager.TrySwapOut(new ReadOnlySpan<BlockTable>(in table), plan);
            plan.Clear();
            done &= manager.TrySwapIn(new ReadOnlySpan<BlockTable>(in table), 0, plan);
            manager.Free(table);
            plan.Clear();
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(done);
            Assert.True(round < 2 || allocated == 0, $"round {round} allocated {allocated} bytes");
        }
        Assert.True(manager.HitTokens > 0);
        manager.CheckInvariants([]);
    }

    /// <summary>A table for some tokens, none of them indexed.</summary>
    private BlockTable Table(int tokens)
    {
        BlockTable table = new();
        Assert.True(_manager.TryReserve(table, _nothing, tokens, margin: 0));
        return table;
    }

    private BlockTable[] Forks(BlockTable parent, int count)
    {
        BlockTable[] tables = [parent, .. Enumerable.Range(1, count - 1).Select(_ => new BlockTable())];
        foreach (BlockTable child in tables.Skip(1))
            _manager.Fork(parent, child, parent.Count);
        return tables;
    }
}
