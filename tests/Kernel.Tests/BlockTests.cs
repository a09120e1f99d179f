using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Whole-block copies: copy-on-write inside the pool, swap to a host pool and back.</summary>
public sealed unsafe class BlockTests
{
    public static IEnumerable<TheoryDataRow<string, DType>> EachType => Targets.EachType;

    [Theory, MemberData(nameof(EachType))]
    public void Copied_blocks_carry_all_layers_and_nothing_else_changes(string target, DType type)
    {
        using Rig rig = new(target);
        PagedBatch batch = NewPool(rig, type);
        byte[] before = batch.ReadPool();
        int[] pairs = [1, 4, 2, 3, 1, 6];
        fixed (int* p = pairs)
            rig.Ops.CopyBlocks(batch.Cache, p, 3);
        for (int i = 0; i < pairs.Length; i += 2)
            Block(batch, before, pairs[i]).CopyTo(Block(batch, before, pairs[i + 1]));
        Assert.True(before.AsSpan().SequenceEqual(batch.ReadPool()));
    }

    [Theory, MemberData(nameof(EachType))]
    public void Blocks_swapped_out_come_back_bit_for_bit_in_other_places(string target, DType type)
    {
        using Rig rig = new(target);
        PagedBatch batch = NewPool(rig, type);
        byte[] before = batch.ReadPool();
        using PinnedBuffer host = rig.Device.AllocatePinned(batch.BlockBytes * 3);
        host.AsSpan<byte>().Fill(0xEE);
        int[] outPairs = [5, 2, 1, 0], inPairs = [3, 2, 6, 0];
        fixed (int* p = outPairs)
            rig.Ops.SwapBlocks(batch.Cache, host.Pointer, 3, p, 2, SwapDirection.Out);
        rig.Stream.Synchronize();
        Assert.True(Block(batch, before, 5).SequenceEqual(host.AsSpan<byte>(2 * batch.BlockBytes)));
        Assert.True(Block(batch, before, 1).SequenceEqual(host.AsSpan<byte>()[..(int)batch.BlockBytes]));
        Assert.True(host.AsSpan<byte>(batch.BlockBytes)[..(int)batch.BlockBytes].IndexOfAnyExcept((byte)0xEE) < 0);
        fixed (int* p = inPairs)
            rig.Ops.SwapBlocks(batch.Cache, host.Pointer, 3, p, 2, SwapDirection.In);
        Block(batch, before, 5).CopyTo(Block(batch, before, 3));
        Block(batch, before, 1).CopyTo(Block(batch, before, 6));
        Assert.True(before.AsSpan().SequenceEqual(batch.ReadPool()));
    }

    private static PagedBatch NewPool(Rig rig, DType type)
    {
        PagedBatch batch = new(rig, type, new Heads(2, 1, 24), 8, [40], layers: 3);
        byte[] content = new byte[batch.Pool.Bytes];
        new Random(5).NextBytes(content);
        rig.Upload<byte>(batch.Pool.Pointer, content);
        return batch;
    }

    private static Span<byte> Block(PagedBatch batch, byte[] pool, int block) =>
        pool.AsSpan((int)(block * batch.BlockBytes), (int)batch.BlockBytes);
}
