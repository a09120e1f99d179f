using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>The full check of a scheduler's bookkeeping: when the engine is idle, and after every step in simulation.</summary>
internal static class SchedulerInvariants
{
    public static void Check(Scheduler scheduler, SchedulerLimits limits, IReadOnlyCollection<int> freeSlots)
    {
        CheckOrder(scheduler);
        CheckSlots(scheduler, limits, freeSlots);
        List<BlockTable> tables = [.. scheduler.Pins.All.Select(pin => pin.Table)];
        foreach (SequenceGroup group in scheduler.Running)
            CheckRunning(group, limits, tables);
        foreach (SequenceGroup group in scheduler.Preempted)
            CheckPreempted(group, limits, tables);
        foreach (KeyQueue key in scheduler.Waiting.Active)
            foreach (SequenceGroup group in key.Waiting)
                Require(group is { State: GroupState.Waiting } && group.Live.Length == 1 && group.First is { Slot: -1, ComputedCount: 0, Blocks.Count: 0 },
                    group, $"waits as {group.State} with slot {group.First.Slot} and {group.First.Blocks.Count} blocks");
        scheduler.Blocks.CheckInvariants(tables);
    }

    private static void CheckOrder(Scheduler scheduler)
    {
        for (int i = 1; i < scheduler.Running.Length; i++)
            Require(scheduler.Running[i - 1].IsBefore(scheduler.Running[i]), scheduler.Running[i], "runs in the wrong place");
        for (int i = 1; i < scheduler.Preempted.Length; i++)
            Require(scheduler.Preempted[i - 1].IsBefore(scheduler.Preempted[i]), scheduler.Preempted[i], "was preempted into the wrong place");
        foreach (KeyQueue key in scheduler.Waiting.Active)
            for (int i = 1; i < key.Waiting.Length; i++)
                Require(key.Waiting[i - 1].IsBefore(key.Waiting[i]), key.Waiting[i], "waits in the wrong place");
    }

    /// <summary>Every slot is either free or held by one running sequence, and those promised to forks are free.</summary>
    private static void CheckSlots(Scheduler scheduler, SchedulerLimits limits, IReadOnlyCollection<int> freeSlots)
    {
        HashSet<int> seen = [.. freeSlots];
        int held = 0, promised = 0;
        foreach (SequenceGroup group in scheduler.Running)
        {
            promised += group.SlotCount - group.Live.Length;
            foreach (Sequence sequence in group.Live)
            {
                held++;
                Require(sequence.Slot >= 0 && sequence.Slot < limits.SequencesMax && seen.Add(sequence.Slot),
                    group, $"has a sequence in slot {sequence.Slot}, which is free, shared or out of range");
            }
        }
        if (seen.Count != limits.SequencesMax || freeSlots.Count + held != limits.SequencesMax || promised > freeSlots.Count)
            throw new InvariantException($"{freeSlots.Count} free slots, {held} held and {promised} promised, {limits.SequencesMax} slots");
    }

    /// <summary>Tables cover what is computed, and sequences of a request that decode are in step.</summary>
    private static void CheckRunning(SequenceGroup group, SchedulerLimits limits, List<BlockTable> tables)
    {
        Require(group is { State: GroupState.Running } && group.Live.Length >= 1 && group.Live.Length <= group.Width, group,
            $"runs as {group.State} with {group.Live.Length} sequences of {group.Width}");
        foreach (Sequence sequence in group.Live)
        {
            int count = sequence.Blocks.Count;
            bool isGrown = limits.Reservation != Reservation.None || count <= KvDemand.Blocks(sequence.ExpectedCount, limits.BlockSize);
            Require(count >= KvDemand.Blocks(sequence.ComputedCount, limits.BlockSize) && isGrown,
                group, $"holds {count} blocks for {sequence.ComputedCount} computed of {sequence.ExpectedCount} tokens");
            Require(sequence.InFlightCount is 0 or 1 && sequence.PendingCount >= 1, group,
                $"has {sequence.InFlightCount} tokens in flight and {sequence.PendingCount} to compute");
            Require(group.IsPrefilling || sequence.PendingCount == 1, group, $"decodes with {sequence.PendingCount} tokens to compute");
            Require(sequence.FinishReason == FinishReason.None && sequence.Group == group, group, "runs a sequence that ended or is another's");
            tables.Add(sequence.Blocks);
        }
    }

    private static void CheckPreempted(SequenceGroup group, SchedulerLimits limits, List<BlockTable> tables)
    {
        Require(group.State is GroupState.Preempted or GroupState.Swapped, group, $"was preempted and is {group.State}");
        foreach (Sequence sequence in group.Live)
        {
            int count = sequence.Blocks.Count;
            bool isSwapped = group.State == GroupState.Swapped;
            Require(sequence.Slot == -1 && (isSwapped ? count >= KvDemand.Blocks(sequence.ComputedCount, limits.BlockSize) : count == 0 && sequence.ComputedCount == 0),
                group, $"waits as {group.State} with slot {sequence.Slot}, {count} blocks and {sequence.ComputedCount} tokens computed");
            tables.Add(sequence.Blocks);
        }
    }

    private static void Require(bool ok, SequenceGroup group, string found)
    {
        if (!ok)
            throw new InvariantException($"request {group.Arrival} {found}");
    }
}
