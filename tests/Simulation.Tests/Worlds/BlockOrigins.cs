using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>Where the content of each block comes from: what the prefix cache may give to whom is decided by that.</summary>
internal sealed class BlockOrigins(SchedulerLimits limits)
{
    private readonly Origin[] _device = new Origin[limits.BlockCount];
    private readonly Origin[] _host = new Origin[limits.HostBlockCount];
    private int _resets;

    /// <summary>The prefix cache forgets everything that was computed before.</summary>
    public void Reset() => _resets++;

    /// <summary>Notes what a plan moves and writes.</summary>
    public void Note(StepPlan plan)
    {
        foreach (BlockSwap swap in plan.SwapOuts)
            _host[swap.HostBlock] = _device[swap.DeviceBlock];
        foreach (BlockSwap swap in plan.SwapIns)
            _device[swap.DeviceBlock] = _host[swap.HostBlock];
        foreach (BlockCopy copy in plan.Copies)
            _device[copy.Destination] = _device[copy.Source];
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            for (int position = row.Start; position < row.Start + row.Count; position++)
                if (position % limits.BlockSize == 0)
                    _device[row.Sequence.Blocks[position / limits.BlockSize]] = new Origin(row.Sequence.Group.Salt, _resets);
    }

    /// <summary>Blocks that a starting sequence was given from the cache were computed under its salt, and since the cache was reset.</summary>
    public void CheckHit(Sequence sequence, int blocks)
    {
        for (int i = 0; i < blocks; i++)
        {
            Origin origin = _device[sequence.Blocks[i]];
            Promise.Hold(origin.Salt == sequence.Group.Salt, $"request {sequence.Arrival} was given a block of another salt");
            Promise.Hold(origin.Resets == _resets, $"request {sequence.Arrival} was given a block from before the cache was reset");
        }
    }

    private readonly record struct Origin(UInt128 Salt, int Resets);
}
