using NativeLM.Engine;
using NativeLM.Engine.Memory;
using Xunit;

namespace NativeLM.Tests;

public sealed class PrefixCacheTests
{
    private const int B = 4;

    private readonly BlockManager _manager = Manager(blockCount: 17);
    private readonly PrefixMatch _match = new();

    [Fact]
    public void A_prompt_finds_the_full_blocks_of_one_that_began_alike()
    {
        BlockTable first = Compute(_manager, Tokens(0, 10));
        _manager.Match([.. Tokens(0, 9), 99], salt: 0, _match);
        Assert.Equal((2, 8), (_match.BlockCount, _match.TokenCount));
        Assert.Equal(first.Blocks[..2].ToArray(), _match.Blocks.ToArray());
        _manager.Match([.. Tokens(0, 7), 99, 8, 9], salt: 0, _match);
        Assert.Equal(1, _match.BlockCount);
        _manager.Match([99, .. Tokens(1, 9)], salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(4, 0)]
    [InlineData(5, 1)]
    [InlineData(8, 1)]
    [InlineData(9, 2)]
    public void At_least_one_token_of_a_prompt_is_left_to_compute(int length, int blocks)
    {
        Compute(_manager, Tokens(0, 16));
        _manager.Match(Tokens(0, length), salt: 0, _match);
        Assert.Equal(blocks, _match.BlockCount);
    }

    [Fact]
    public void Blocks_are_found_while_their_owner_still_runs_and_after_it_ended()
    {
        BlockTable owner = Compute(_manager, Tokens(0, 8));
        BlockTable guest = Compute(_manager, Tokens(0, 9));
        Assert.Equal(owner.Blocks.ToArray(), guest.Blocks[..2].ToArray());
        Assert.Equal((2, 2, 1), (_manager.Pool.References(owner[0]), _manager.Pool.References(owner[1]), _manager.Pool.References(guest[2])));
        int[] blocks = owner.Blocks.ToArray();
        _manager.Free(owner);
        _manager.Free(guest);
        Assert.Equal((16, 2), (_manager.Pool.FreeCount, _manager.Pool.EvictableCount));
        Assert.Equal(blocks, Compute(_manager, Tokens(0, 9)).Blocks[..2].ToArray());
        Assert.Equal((26L, 16L), (_manager.QueriedTokens, _manager.HitTokens));
    }

    [Fact]
    public void A_last_block_is_found_only_once_it_is_full_and_final()
    {
        BlockTable table = Compute(_manager, Tokens(0, 7));
        _manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.Equal(1, _match.BlockCount);
        _manager.Index(table, Tokens(0, 8), salt: 0, finalCount: 7);
        _manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.Equal(1, _match.BlockCount);
        _manager.Index(table, Tokens(0, 8), salt: 0, finalCount: 8);
        _manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.Equal(2, _match.BlockCount);
    }

    [Fact]
    public void Different_salts_never_share()
    {
        BlockTable a = Compute(_manager, Tokens(0, 8), salt: 1), b = Compute(_manager, Tokens(0, 8), salt: 2);
        Assert.Empty(a.Blocks.ToArray().Intersect(b.Blocks.ToArray()));
        _manager.Match(Tokens(0, 9), salt: 1, _match);
        Assert.Equal(a.Blocks.ToArray(), _match.Blocks.ToArray());
        _manager.Match(Tokens(0, 9), salt: 2, _match);
        Assert.Equal(b.Blocks.ToArray(), _match.Blocks.ToArray());
        _manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
    }

    [Fact]
    public void Of_two_equal_blocks_the_second_stays_private_and_is_reused_first()
    {
        BlockTable first = Reserve(_manager, Tokens(0, 4)), second = Reserve(_manager, Tokens(0, 4));
        Index(_manager, first, Tokens(0, 4));
        Index(_manager, second, Tokens(0, 4));
        Assert.True(_manager.Pool.IsIndexed(first[0]));
        Assert.False(_manager.Pool.IsIndexed(second[0]));
        int duplicate = second[0];
        _manager.Free(first);
        _manager.Free(second);
        Assert.Equal((duplicate, 1), (_manager.Pool.FreeBlocks().First(), _manager.Pool.EvictableCount));
    }

    [Fact]
    public void Blocks_are_evicted_least_recently_used_first_and_the_deepest_of_a_prefix_first()
    {
        BlockTable a = Compute(_manager, Tokens(0, 12)), b = Compute(_manager, Tokens(100, 12));
        int[] blocksOfA = a.Blocks.ToArray(), blocksOfB = b.Blocks.ToArray();
        _manager.Free(a);
        _manager.Free(b);
        Free(Compute(_manager, Tokens(0, 5))); // uses the first block of a again
        int[] order = [.. _manager.Pool.FreeBlocks().Skip(_manager.Pool.FreeCount - _manager.Pool.EvictableCount)];
        Assert.Equal([blocksOfA[2], blocksOfA[1], .. blocksOfB.Reverse(), blocksOfA[0]], order);

        BlockTable filler = new();
        Assert.True(_manager.TryGrow(filler, (10 + 3) * B, margin: 0)); // 10 clean blocks, then 3 evictions
        Assert.Equal(3, _manager.EvictionCount);
        _manager.Match(Tokens(0, 13), salt: 0, _match);
        Assert.Equal(1, _match.BlockCount);
        _manager.Match(Tokens(100, 13), salt: 0, _match);
        Assert.Equal(2, _match.BlockCount);
        _manager.CheckInvariants([filler]);
    }

    [Fact]
    public void A_request_never_evicts_what_it_has_matched()
    {
        Free(Compute(_manager, Tokens(0, 60)));
        BlockTable table = Reserve(_manager, Tokens(0, 64));
        Assert.Equal((16, 0), (table.Count, _manager.Pool.FreeCount));
        Assert.Equal((15, 0L), (table.IndexedCount, _manager.EvictionCount));
        _manager.CheckInvariants([table]);
    }

    [Fact]
    public void Matched_blocks_without_an_owner_count_as_taken()
    {
        Free(Compute(_manager, Tokens(0, 60)));
        _manager.Match(Tokens(0, 64), salt: 0, _match);
        BlockTable table = new();
        Assert.False(_manager.TryReserve(table, _match, 64, margin: 1));
        Assert.Equal((0, 16, 0L, 0L), (table.Count, _manager.Pool.FreeCount, _manager.QueriedTokens - 60, _manager.HitTokens));
        _manager.CheckInvariants([]);
        Assert.True(_manager.TryReserve(table, _match, 64, margin: 0));
    }

    [Fact]
    public void A_match_is_refused_after_one_of_its_blocks_may_have_been_evicted()
    {
        Free(Compute(_manager, Tokens(0, 8)));
        _manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.True(_manager.TryGrow(new BlockTable(), 16 * B, margin: 0));
        Assert.Throws<ArgumentException>(() => _manager.TryReserve(new BlockTable(), _match, 9, margin: 0));
    }

    [Fact]
    public void Different_tokens_with_the_same_hash_are_told_apart()
    {
        (int[] one, int[] other) = Collision(_manager);
        BlockTable a = Compute(_manager, [.. one, 1]), b = Compute(_manager, [.. other, 1]);
        Assert.NotEqual(a[0], b[0]);
        _manager.Match([.. one, 5], salt: 0, _match);
        Assert.Equal([a[0]], _match.Blocks.ToArray());
        _manager.Match([.. other, 5], salt: 0, _match);
        Assert.Equal([b[0]], _match.Blocks.ToArray());
        _manager.CheckInvariants([a, b]);
        Free(a);
        Assert.True(_manager.TryGrow(new BlockTable(), _manager.Pool.FreeCount * B, margin: 0));
        _manager.Match([.. one, 5], salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
        _manager.Match([.. other, 5], salt: 0, _match);
        Assert.Equal([b[0]], _match.Blocks.ToArray());
    }

    [Fact]
    public void Different_salts_with_the_same_hash_are_told_apart()
    {
        PrefixHash hash = _manager.PrefixIndex!.Hash;
        UInt128 one = new(1, 0 - hash.Key[0]), other = new(2, 0 - hash.Key[0]);
        Assert.Equal(hash.Root(one), hash.Root(other));
        BlockTable table = Compute(_manager, Tokens(0, 5), one);
        _manager.Match(Tokens(0, 5), other, _match);
        Assert.Equal(0, _match.BlockCount);
        _manager.Match(Tokens(0, 5), one, _match);
        Assert.Equal([table[0]], _match.Blocks.ToArray());
    }

    /// <summary>
    /// The worst case: a block's parent is evicted while the block lives, and other tokens with the parent's very hash come into the parent's
    /// very block. Hash, parent block, tokens and salt of the child all fit; only the parent's serial number does not.
    /// </summary>
    [Fact]
    public void A_child_is_not_found_under_other_content_in_its_parents_block()
    {
        (int[] parent, int[] impostor) = Collision(_manager);
        int[] child = [1, 2, 3, 4];
        BlockTable first = Reserve(_manager, parent);
        BlockTable second = Reserve(_manager, [.. parent, .. child]);
        Index(_manager, first, parent);
        Index(_manager, second, [.. parent, .. child]); // its first block stays private, its second is a child of the first table's block
        int parentBlock = first[0];
        Free(first);
        BlockTable filler = new();
        Assert.True(_manager.TryGrow(filler, (_manager.Pool.FreeCount - 1) * B, margin: 0));
        Assert.Equal([parentBlock], _manager.Pool.FreeBlocks());
        BlockTable reused = Compute(_manager, impostor);
        Assert.Equal(parentBlock, reused[0]);

        _manager.Match([.. impostor, .. child, 5], salt: 0, _match);
        Assert.Equal([parentBlock], _match.Blocks.ToArray());
        _manager.Match([.. parent, .. child, 5], salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
        _manager.CheckInvariants([second, filler, reused]);
    }

    [Fact]
    public void After_a_reset_nothing_computed_before_is_found_and_owners_keep_their_blocks()
    {
        BlockTable running = Compute(_manager, Tokens(0, 8)), fork = new();
        _manager.Fork(running, fork, 2);
        Free(Compute(_manager, Tokens(100, 8)));
        _manager.ResetPrefixCache();
        Assert.Equal((0, 14), (_manager.Pool.EvictableCount, _manager.Pool.FreeCount));
        foreach (BlockTable table in new[] { running, fork })
        {
            Assert.True(_manager.TryGrow(table, 12, margin: 0));
            _manager.Index(table, Tokens(0, 12), salt: 0, finalCount: 12);
        }
        _manager.Match(Tokens(0, 13), salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
        _manager.Match(Tokens(100, 13), salt: 0, _match);
        Assert.Equal(0, _match.BlockCount);
        _manager.CheckInvariants([running, fork]);
        BlockTable later = Compute(_manager, Tokens(0, 12));
        Assert.Empty(later.Blocks.ToArray().Intersect(running.Blocks.ToArray()));
        _manager.Match(Tokens(0, 13), salt: 0, _match);
        Assert.Equal(later.Blocks.ToArray(), _match.Blocks.ToArray());
    }

    [Fact]
    public void Nothing_is_found_when_the_cache_is_off()
    {
        BlockManager manager = new(17, B, 0, prefixCaching: false, hashSeed: 7);
        Free(Compute(manager, Tokens(0, 8)), manager);
        manager.Match(Tokens(0, 9), salt: 0, _match);
        Assert.Equal((0, 0, 0L), (_match.BlockCount, manager.Pool.EvictableCount, manager.QueriedTokens));
        manager.ResetPrefixCache();
        manager.CheckInvariants([]);
    }

    private static BlockManager Manager(int blockCount) => new(blockCount, B, hostBlockCount: 0, prefixCaching: true, hashSeed: 7);

    private static int[] Tokens(int first, int count) => [.. Enumerable.Range(first, count)];

    /// <summary>
    /// Two different blocks of four tokens with the same hash, made with the key that nobody outside knows: where a word is minus its key
    /// word the product is 0, whatever the other word is.
    /// </summary>
    private static (int[] One, int[] Other) Collision(BlockManager manager)
    {
        PrefixHash hash = manager.PrefixIndex!.Hash;
        ulong word = 0 - hash.Key[0];
        int[] one = [(int)(uint)word, (int)(uint)(word >> 32), 1, 2], other = [one[0], one[1], 3, 4];
        Assert.Equal(hash.Next(hash.Root(0), one), hash.Next(hash.Root(0), other));
        return (one, other);
    }

    private static BlockTable Reserve(BlockManager manager, int[] tokens, UInt128 salt = default)
    {
        PrefixMatch match = new();
        BlockTable table = new();
        manager.Match(tokens, salt, match);
        Assert.True(manager.TryReserve(table, match, tokens.Length, margin: 0));
        return table;
    }

    private static void Index(BlockManager manager, BlockTable table, int[] tokens, UInt128 salt = default) =>
        manager.Index(table, tokens, salt, tokens.Length);

    private static BlockTable Compute(BlockManager manager, int[] tokens, UInt128 salt = default)
    {
        BlockTable table = Reserve(manager, tokens, salt);
        Index(manager, table, tokens, salt);
        return table;
    }

    private void Free(BlockTable table, BlockManager? manager = null) => (manager ?? _manager).Free(table);
}
