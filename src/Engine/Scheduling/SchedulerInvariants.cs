using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>The full check of a scheduler's bookkeeping: when the engine is idle, and after every step in simulation.</summary>
internal static class SchedulerInvariants
{
    public static void Check(Scheduler scheduler, SchedulerLimits limits, IReadOnlyCollection<int> freeSlots)
    {
        Sequence[] all = [.. scheduler.Running, .. scheduler.Waiting];
        for (int i = 1; i < all.Length; i++)
            Require(all[i].Arrival > all[i - 1].Arrival, all[i], $"stands after {all[i - 1].Arrival}");
        foreach (Sequence sequence in scheduler.Waiting)
            Require(sequence is { State: SequenceState.Waiting or SequenceState.Preempted, Slot: -1, ComputedCount: 0, Blocks.Count: 0 },
                sequence, $"waits as {sequence.State} with slot {sequence.Slot} and {sequence.Blocks.Count} blocks");
        CheckSlots(scheduler, limits, freeSlots);
        CheckBlocks(scheduler, limits);
    }

    /// <summary>Every slot is either free or held by one running sequence.</summary>
    private static void CheckSlots(Scheduler scheduler, SchedulerLimits limits, IReadOnlyCollection<int> freeSlots)
    {
        HashSet<int> seen = [.. freeSlots];
        foreach (Sequence sequence in scheduler.Running)
            Require(sequence.State == SequenceState.Running && sequence.Slot >= 0 && sequence.Slot < limits.SequencesMax && seen.Add(sequence.Slot),
                sequence, $"runs as {sequence.State} in slot {sequence.Slot}, which is free, shared or out of range");
        if (seen.Count != limits.SequencesMax || freeSlots.Count + scheduler.Running.Length != limits.SequencesMax)
            throw new InvariantException($"{freeSlots.Count} free slots and {scheduler.Running.Length} running sequences, {limits.SequencesMax} slots");
    }

    /// <summary>Tables cover what is computed, hold no id twice, and together explain every reference count.</summary>
    private static void CheckBlocks(Scheduler scheduler, SchedulerLimits limits)
    {
        BlockPool pool = scheduler.Pool;
        Dictionary<int, int> owners = [];
        foreach (Sequence sequence in scheduler.Running)
        {
            int count = sequence.Blocks.Count;
            Require(count >= KvDemand.Blocks(sequence.ComputedCount, limits.BlockSize) && count <= KvDemand.Blocks(sequence.ExpectedCount, limits.BlockSize),
                sequence, $"holds {count} blocks for {sequence.ComputedCount} computed of {sequence.ExpectedCount} tokens");
            Require(sequence.InFlightCount is 0 or 1 && sequence.PendingCount >= 1, sequence,
                $"has {sequence.InFlightCount} tokens in flight and {sequence.PendingCount} to compute");
            HashSet<int> own = [];
            foreach (int block in sequence.Blocks.Blocks)
            {
                Require(own.Add(block), sequence, $"holds block {block} twice");
                owners[block] = owners.GetValueOrDefault(block) + 1;
            }
        }
        if (owners.Count != pool.UsedCount)
            throw new InvariantException($"tables hold {owners.Count} blocks, the pool counts {pool.UsedCount} used");
        foreach ((int block, int count) in owners)
            if (pool.References(block) != count)
                throw new InvariantException($"block {block} is in {count} tables and has {pool.References(block)} references");
    }

    private static void Require(bool ok, Sequence sequence, string found)
    {
        if (!ok)
            throw new InvariantException($"sequence {sequence.Arrival} {found}");
    }
}
