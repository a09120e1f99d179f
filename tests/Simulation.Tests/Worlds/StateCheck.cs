using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>The scheduler and its blocks between two steps against a count from scratch.</summary>
internal sealed class StateCheck
{
    private readonly Scheduler _scheduler;
    private readonly SchedulerLimits _limits;
    private readonly Dictionary<long, Request> _live;
    private readonly int[] _owners;
    private readonly int[] _hostOwners;
    private readonly bool[] _slots;

    public StateCheck(Scheduler scheduler, SchedulerLimits limits, Dictionary<long, Request> live)
    {
        (_scheduler, _limits, _live) = (scheduler, limits, live);
        _owners = new int[limits.BlockCount];
        _hostOwners = new int[limits.HostBlockCount];
        _slots = new bool[limits.SequencesMax];
    }

    /// <summary>Everything but the scheduler's own check.</summary>
    public void Check()
    {
        Array.Clear(_owners);
        Array.Clear(_hostOwners);
        Array.Clear(_slots);
        Promise.Hold(_scheduler.Running.Length + _scheduler.WaitingCount == _live.Count, $"{_scheduler.Running.Length} requests run and {_scheduler.WaitingCount} wait, {_live.Count} live");
        foreach (Request request in _live.Values)
            CheckRequest(request.Group);
        for (int i = 1; i < _scheduler.Running.Length; i++)
            Promise.Hold(_scheduler.Running[i - 1].IsBefore(_scheduler.Running[i]), $"request {_scheduler.Running[i].Arrival} runs out of order");
        int pinned = 0;
        foreach (PinnedPrefix pin in _scheduler.Pins.All)
        {
            Count(pin.Table, _owners);
            pinned += pin.BlockCount;
        }
        Promise.Hold(_scheduler.Pins.BlockCount == pinned, $"registered prefixes keep {pinned} blocks, {_scheduler.Pins.BlockCount} are counted");
        CheckPools();
    }

    private void CheckRequest(SequenceGroup group)
    {
        foreach (Sequence sequence in group.Live)
        {
            bool runs = group.State == GroupState.Running;
            Promise.Hold(runs == (sequence.Slot >= 0), $"request {group.Arrival} is {group.State} in slot {sequence.Slot}");
            if (runs)
            {
                Promise.Hold(sequence.Slot < _slots.Length && !_slots[sequence.Slot], $"slot {sequence.Slot} has two owners");
                _slots[sequence.Slot] = true;
                CheckLength(group, sequence);
                Count(sequence.Blocks, _owners);
            }
            else if (group.State == GroupState.Swapped)
                Count(sequence.Blocks, _hostOwners);
            else
                Promise.Hold(sequence.Blocks.Count == 0 && sequence.ComputedCount == 0, $"request {group.Arrival} is {group.State} and holds {sequence.Blocks.Count} blocks");
        }
    }

    /// <summary>A sequence holds the blocks of what is stored. Those of known tokens it has when it starts, that of the token drawn last may be missing.</summary>
    private void CheckLength(SequenceGroup group, Sequence sequence)
    {
        long least = KvDemand.Blocks(sequence.ComputedCount, _limits.BlockSize), most = KvDemand.Blocks(sequence.ExpectedCount, _limits.BlockSize);
        if (group.IsPrefilling && _limits.Reservation == Reservation.None)
            least = KvDemand.Blocks(sequence.ExpectedCount - (group.Live.Length > 1 ? 1 : 0), _limits.BlockSize);
        Promise.Hold(sequence.Blocks.Count >= least && (sequence.Blocks.Count <= most || _limits.Reservation != Reservation.None),
            $"sequence {group.Arrival}.{sequence.Index} holds {sequence.Blocks.Count} blocks for {sequence.ComputedCount} of {sequence.ExpectedCount} tokens");
    }

    private static void Count(BlockTable table, int[] owners)
    {
        foreach (int block in table.Blocks)
        {
            Promise.Hold(block < owners.Length && block >= 0, $"a table names block {block}, there are {owners.Length}");
            owners[block]++;
        }
    }

    private void CheckPools()
    {
        BlockPool pool = _scheduler.Blocks.Pool;
        int used = 0;
        Promise.Hold(_owners[0] == 0, "the null block is in a table");
        for (int block = 1; block < _owners.Length; block++)
        {
            used += _owners[block] > 0 ? 1 : 0;
            Promise.Hold(pool.References(block) == _owners[block], $"block {block} is in {_owners[block]} tables and has {pool.References(block)} references");
        }
        Promise.Hold(pool.UsedCount == used && pool.FreeCount == pool.UsableCount - used, $"{used} blocks are in tables, the pool counts {pool.UsedCount} used and {pool.FreeCount} free of {pool.UsableCount}");
        int shared = _owners.Count(owners => owners > 1);
        Promise.Hold(pool.SharedCount == shared, $"{shared} blocks have several owners, the pool counts {pool.SharedCount}");
        int hostUsed = _hostOwners.Count(owners => owners > 0);
        Promise.Hold(_scheduler.Blocks.Host.UsedCount == hostUsed, $"{hostUsed} host blocks are in tables, the host pool counts {_scheduler.Blocks.Host.UsedCount}");
    }
}
