using NativeLM.Engine.Models;
using NativeLM.Engine.Scheduling;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// Moves whole KV blocks before a step computes: to the host, from the host, then from block to block. All of them on the step's stream, so
/// that a block may be given away in the same plan. Owns the host pool. Engine thread only.
/// </summary>
internal sealed unsafe class BlockMoves : IDisposable
{
    private readonly KvPool _cache;
    private readonly PinnedBuffer? _hostPool;
    private readonly int[] _pairs;

    /// <param name="device">Where the cache is.</param>
    /// <param name="cache">The KV pool.</param>
    /// <param name="blockBytes">Bytes of a block over all layers.</param>
    /// <param name="hostBlockCount">Blocks of the host pool; 0: none.</param>
    public BlockMoves(Device device, KvPool cache, long blockBytes, int hostBlockCount)
    {
        _cache = cache;
        HostBlockCount = hostBlockCount;
        _pairs = new int[checked(2 * Math.Max(cache.Description.BlockCount, hostBlockCount))];
        if (hostBlockCount > 0)
            _hostPool = Allocate(device, checked(hostBlockCount * blockBytes));
    }

    /// <summary>Blocks of the host pool.</summary>
    public int HostBlockCount { get; }

    /// <summary>Queues the moves of a plan. The backends read the list of pairs during the call.</summary>
    public void Queue(StepPlan plan, Ops ops)
    {
        Swap(plan.SwapOuts, SwapDirection.Out, ops);
        Swap(plan.SwapIns, SwapDirection.In, ops);
        Copy(plan.Copies, ops);
    }

    public void Dispose() => _hostPool?.Dispose();

    private static PinnedBuffer Allocate(Device device, long bytes)
    {
        try
        {
            return device.AllocatePinned(bytes);
        }
        catch (DeviceOutOfMemoryException refusal)
        {
            throw new EngineStartException(
                $"--swap-space: found a host that does not give {KvCacheSizing.Size(bytes)} of pinned memory; ask for less, or for 0 to recompute "
                + $"instead ({refusal.Message})", refusal);
        }
    }

    private void Swap(ReadOnlySpan<BlockSwap> swaps, SwapDirection direction, Ops ops)
    {
        if (swaps.IsEmpty)
            return;
        for (int i = 0; i < swaps.Length; i++)
        {
            RequireBlock(swaps[i].DeviceBlock);
            Require((uint)swaps[i].HostBlock < (uint)HostBlockCount, "host block", swaps[i].HostBlock, HostBlockCount - 1);
            (_pairs[2 * i], _pairs[(2 * i) + 1]) = (swaps[i].DeviceBlock, swaps[i].HostBlock);
        }
        fixed (int* pairs = _pairs)
            ops.SwapBlocks(_cache.Description, _hostPool!.Pointer, HostBlockCount, pairs, swaps.Length, direction);
    }

    private void Copy(ReadOnlySpan<BlockCopy> copies, Ops ops)
    {
        if (copies.IsEmpty)
            return;
        for (int i = 0; i < copies.Length; i++)
        {
            RequireBlock(copies[i].Source);
            RequireBlock(copies[i].Destination);
            (_pairs[2 * i], _pairs[(2 * i) + 1]) = (copies[i].Source, copies[i].Destination);
        }
        fixed (int* pairs = _pairs)
            ops.CopyBlocks(_cache.Description, pairs, copies.Length);
    }

    private void RequireBlock(int block) =>
        Require(block > 0 && block < _cache.Description.BlockCount, "block id", block, _cache.Description.BlockCount - 1);

    // A device leaves out pairs that lie outside its pools; the step must not go on without them.
    private static void Require(bool ok, string what, int found, int max)
    {
        if (!ok)
            throw new InvalidOperationException($"block moves of a step: {what}: found {found}, needed at most {max}");
    }
}
