using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// The two ways in which a request gives all of its blocks back and gets them again (the paper's section 4.5): it is computed again, or it
/// moves to host memory. Which one never shows in its output. Engine thread only.
/// </summary>
internal sealed class Preemption(SchedulerLimits limits, BlockManager blocks, GroupTables tables)
{
    /// <summary>Preemptions by recompute so far.</summary>
    public long RecomputeCount { get; private set; }

    /// <summary>Preemptions by swap so far.</summary>
    public long SwapCount { get; private set; }

    /// <summary>Preemptions so far.</summary>
    public long Count => RecomputeCount + SwapCount;

    /// <summary>Tokens whose K and V were dropped so far.</summary>
    public long RecomputedTokenCount { get; private set; }

    /// <summary>Blocks moved to the host so far.</summary>
    public long SwappedOutBlockCount { get; private set; }

    /// <summary>Blocks moved back from the host so far.</summary>
    public long SwappedInBlockCount { get; private set; }

    /// <summary>Takes all blocks of a running request, by the way that costs less; dropping them always works.</summary>
    public void TakeBlocks(SequenceGroup victim, StepPlan plan, bool maySwap)
    {
        if (!maySwap || !PrefersSwap(victim) || !TrySwapOut(victim, plan))
            Drop(victim);
    }

    /// <summary>Drops what a request has computed, wherever it is.</summary>
    public void Drop(SequenceGroup group)
    {
        long tokens = Recomputation.Tokens(group);
        RecomputeCount++;
        RecomputedTokenCount += tokens;
        if (group.Sharing is not null)
        {
            group.Sharing.PreemptionsByRecompute++;
            group.Sharing.TokensRecomputed += tokens;
        }
        foreach (Sequence sequence in group.Live)
        {
            blocks.Free(sequence.Blocks);
            sequence.ComputedCount = 0;
            sequence.Source = null;
        }
        group.State = GroupState.Preempted;
    }

    /// <summary>Brings a swapped request back with room for its next tokens, or changes nothing if that leaves less than a margin free.</summary>
    public bool TrySwapIn(SequenceGroup group, StepPlan plan, int margin)
    {
        tables.Load(group);
        int moved = plan.SwapIns.Length;
        if (!blocks.TrySwapIn(tables.Tables, margin + SwappedWriteCost(group), plan))
            return false;
        moved = plan.SwapIns.Length - moved;
        SwappedInBlockCount += moved;
        if (group.Sharing is not null)
            group.Sharing.BlocksSwapped += moved;
        return true;
    }

    /// <summary>Only what is decoding can be swapped, and no beams whose next branching is under way: it changes the tables.</summary>
    private bool PrefersSwap(SequenceGroup victim)
    {
        if (limits.HostBlockCount == 0 || victim.IsPrefilling || (victim.Beams is not null && victim.HasTokenInFlight))
            return false;
        tables.Load(victim);
        return limits.PreemptionMode switch
        {
            PreemptionMode.Swap => true,
            PreemptionMode.Recompute => false,
            PreemptionMode.ByGroupSize => victim.Live.Length > 1,
            _ => limits.Costs is PreemptionCosts costs && costs.SwapSeconds(tables.DistinctCount()) < costs.PrefillSeconds(Recomputation.Tokens(victim)),
        };
    }

    private bool TrySwapOut(SequenceGroup victim, StepPlan plan)
    {
        tables.Load(victim);
        int moved = plan.SwapOuts.Length;
        if (!blocks.TrySwapOut(tables.Tables, plan))
            return false;
        moved = plan.SwapOuts.Length - moved;
        SwapCount++;
        SwappedOutBlockCount += moved;
        victim.State = GroupState.Swapped;
        plan.SwappedOut.Add(victim);
        if (victim.Sharing is not null)
        {
            victim.Sharing.PreemptionsBySwap++;
            victim.Sharing.BlocksSwapped += moved;
        }
        return true;
    }

    /// <summary>
    /// Blocks that the next tokens of a swapped request take once it is back: each sequence whose token begins a block needs one, and of those
    /// that share their last block all but one copy it.
    /// </summary>
    private int SwappedWriteCost(SequenceGroup group)
    {
        int cost = 0;
        ReadOnlySpan<Sequence> live = group.Live;
        for (int i = 0; i < live.Length; i++)
        {
            int entry = live[i].ComputedCount / limits.BlockSize;
            bool needsBlock = entry == live[i].Blocks.Count;
            for (int k = 0; k < i && !needsBlock; k++)
                needsBlock = entry < live[k].Blocks.Count && live[k].Blocks[entry] == live[i].Blocks[entry];
            cost += needsBlock ? 1 : 0;
        }
        return cost;
    }
}
