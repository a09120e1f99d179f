using NativeLM.Engine;
using NativeLM.Engine.Memory;
using Xunit;

namespace NativeLM.Tests;

public sealed class BlockPoolTests
{
    [Fact]
    public void Every_block_but_the_null_block_can_be_taken_once()
    {
        BlockPool pool = new(33);
        HashSet<int> taken = [];
        while (pool.FreeCount > 0)
            Assert.True(taken.Add(pool.Take(out _)));
        Assert.Equal(Enumerable.Range(1, 32), taken.Order());
        pool.CheckInvariants();
    }

    [Fact]
    public void Taking_from_an_empty_pool_is_an_error_and_changes_nothing()
    {
        BlockPool pool = new(2);
        pool.Take(out _);
        Assert.Throws<InvalidOperationException>(() => pool.Take(out _));
        Assert.Equal((0, 1), (pool.FreeCount, pool.UsedCount));
        pool.CheckInvariants();
    }

    [Fact]
    public void Releasing_twice_is_an_error_and_changes_nothing()
    {
        BlockPool pool = new(4);
        int block = pool.Take(out _);
        pool.Release(block);
        Assert.Throws<InvalidOperationException>(() => pool.Release(block));
        Assert.Throws<InvalidOperationException>(() => pool.AddReference(block));
        Assert.Equal(3, pool.FreeCount);
        pool.CheckInvariants();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(4)]
    [InlineData(int.MaxValue)]
    public void An_id_outside_the_pool_is_an_error(int block)
    {
        BlockPool pool = new(4);
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Release(block));
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.AddReference(block));
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.References(block));
    }

    [Fact]
    public void A_shared_block_is_free_only_after_its_last_owner()
    {
        BlockPool pool = new(4);
        int block = pool.Take(out _);
        pool.AddReference(block);
        pool.Release(block);
        Assert.Equal((1, 2), (pool.References(block), pool.FreeCount));
        pool.Release(block);
        Assert.Equal((0, 3), (pool.References(block), pool.FreeCount));
        pool.CheckInvariants();
    }

    [Fact]
    public void Clean_blocks_are_taken_before_indexed_ones_and_those_in_the_order_in_which_they_were_released()
    {
        BlockPool pool = new(6);
        int[] blocks = [pool.Take(out _), pool.Take(out _), pool.Take(out _), pool.Take(out _), pool.Take(out _)];
        pool.MarkIndexed(blocks[0]);
        pool.MarkIndexed(blocks[3]);
        foreach (int block in blocks)
            pool.Release(block);
        Assert.Equal((5, 2), (pool.FreeCount, pool.EvictableCount));
        pool.CheckInvariants();
        List<(int, bool)> taken = [];
        while (pool.FreeCount > 0)
            taken.Add((pool.Take(out bool wasIndexed), wasIndexed));
        Assert.Equal([(blocks[4], false), (blocks[2], false), (blocks[1], false), (blocks[0], true), (blocks[3], true)], taken);
        Assert.False(pool.IsIndexed(blocks[0]));
        pool.CheckInvariants();
    }

    [Fact]
    public void A_touched_block_leaves_the_middle_of_the_free_list()
    {
        BlockPool pool = new(5);
        int[] blocks = [pool.Take(out _), pool.Take(out _), pool.Take(out _)];
        foreach (int block in blocks)
            pool.MarkIndexed(block);
        foreach (int block in blocks)
            pool.Release(block);
        pool.Touch(blocks[1]);
        pool.Touch(blocks[1]);
        Assert.Equal((2, 3, 2), (pool.References(blocks[1]), pool.FreeCount, pool.EvictableCount));
        Assert.Equal([4, blocks[0], blocks[2]], pool.FreeBlocks());
        Assert.Throws<InvalidOperationException>(() => pool.Touch(4));
        Assert.Throws<InvalidOperationException>(() => pool.MarkIndexed(blocks[1]));
        Assert.Throws<InvalidOperationException>(() => pool.MarkIndexed(blocks[0]));
        pool.CheckInvariants();
        pool.ClearIndexed();
        pool.CheckInvariants();
        Assert.Equal((0, 3), (pool.EvictableCount, pool.FreeCount));
    }

    [Fact]
    public void Random_use_agrees_with_a_dictionary()
    {
        BlockPool pool = new(50);
        Dictionary<int, int> owners = [];
        Random random = new(7);
        for (int step = 0; step < 100_000; step++)
        {
            if (random.Next(2) == 0 && pool.FreeCount > 0)
                owners.Add(pool.Take(out _), 1);
            else if (owners.Count > 0)
            {
                int block = owners.Keys.ElementAt(random.Next(owners.Count));
                if (random.Next(3) == 0)
                {
                    pool.AddReference(block);
                    owners[block]++;
                }
                else
                {
                    pool.Release(block);
                    if (--owners[block] == 0)
                        owners.Remove(block);
                }
            }
            Assert.Equal(owners.Count, pool.UsedCount);
            pool.CheckBalance();
            if (step % 1000 == 0)
                pool.CheckInvariants();
        }
        foreach ((int block, int count) in owners)
            Assert.Equal(count, pool.References(block));
    }

    [Fact]
    public void Demand_counts_blocks_without_overflow()
    {
        Assert.Equal(0, KvDemand.Blocks(0, 16));
        Assert.Equal(1, KvDemand.Blocks(16, 16));
        Assert.Equal(2, KvDemand.Blocks(17, 16));
        Assert.Equal(1, KvDemand.BlocksMax(16, 1, 16)); // the only token drawn needs no slot
        Assert.Equal(2, KvDemand.BlocksMax(16, 2, 16));
        Assert.Equal(268_435_456, KvDemand.BlocksMax(int.MaxValue, int.MaxValue, 16));
        Assert.Throws<OverflowException>(() => KvDemand.Blocks(long.MaxValue, 16));
    }
}
