using System.Runtime.InteropServices;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// Decides what each step computes and which sequence holds which KV blocks and slot. Pure bookkeeping: no thread, no clock, no
/// device, no randomness. First come, first served under one token budget; a prompt longer than what is left of it is computed in
/// chunks beside the decodes of others. When blocks run short the youngest running sequence gives all of its blocks back and is
/// recomputed later (preemption). The oldest sequence runs in every step and is never preempted, so everything ends.
/// A steady decode step allocates nothing. Engine thread only.
/// </summary>
/// <remarks>
/// A step may be planned before the result of the one before it is committed, but of no other: a token in flight is always one that the
/// step before draws. Whoever ends or is preempted meanwhile gives its blocks and slot back at once, although a planned step may still
/// read and write them. That is safe because the device runs steps in the order in which they were planned: the next owner's step comes
/// after, and it overwrites a slot before it reads it.
///
/// Both lists are ascending in arrival, and whoever runs arrived before whoever waits: admission takes from the front of the
/// waiting list, preemption moves the last of the running list there.
/// </remarks>
internal sealed class Scheduler
{
    private readonly SchedulerLimits _limits;
    private readonly BlockPool _pool;
    private readonly List<Sequence> _running;
    private readonly List<Sequence> _waiting = [];
    private readonly Stack<int> _freeSlots;
    private readonly int _watermark;

    public Scheduler(SchedulerLimits limits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.SequencesMax, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.TokensMax, limits.SequencesMax);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.BlockSize, 1);
        _limits = limits;
        _pool = new BlockPool(limits.BlockCount);
        _running = new List<Sequence>(limits.SequencesMax);
        _freeSlots = new Stack<int>(limits.SequencesMax);
        for (int slot = limits.SequencesMax - 1; slot >= 0; slot--)
            _freeSlots.Push(slot);
        _watermark = _pool.UsableCount / 100;
    }

    /// <summary>Sequences that hold blocks and a slot, oldest first.</summary>
    public ReadOnlySpan<Sequence> Running => CollectionsMarshal.AsSpan(_running);

    /// <summary>Sequences that hold nothing, oldest first; preempted ones stand before new ones.</summary>
    public ReadOnlySpan<Sequence> Waiting => CollectionsMarshal.AsSpan(_waiting);

    /// <summary>The sequence that arrived first of all that live, or null.</summary>
    public Sequence? Oldest => _running.Count > 0 ? _running[0] : _waiting.Count > 0 ? _waiting[0] : null;

    /// <summary>True if nothing runs or waits.</summary>
    public bool IsIdle => _running.Count == 0 && _waiting.Count == 0;

    /// <summary>The KV blocks.</summary>
    public BlockPool Pool => _pool;

    /// <summary>Token slots of a block.</summary>
    public int BlockSize => _limits.BlockSize;

    /// <summary>Preemptions so far.</summary>
    public long PreemptionCount { get; private set; }

    /// <summary>Tokens whose K and V preemption dropped so far.</summary>
    public long RecomputedTokenCount { get; private set; }

    /// <summary>Puts a new sequence at the end of the queue. It arrived after all others and fits the pool alone.</summary>
    public void Add(Sequence sequence)
    {
        long blocks = KvDemand.BlocksMax(sequence.PromptCount, sequence.MaxOutputCount, _limits.BlockSize);
        if (blocks > _pool.UsableCount)
            throw new ArgumentException($"the sequence can need {blocks} KV blocks, the pool has {_pool.UsableCount}", nameof(sequence));
        if (Youngest is Sequence last && last.Arrival >= sequence.Arrival)
            throw new ArgumentException($"arrival {sequence.Arrival} is not after {last.Arrival}", nameof(sequence));
        _waiting.Add(sequence);
    }

    /// <summary>Fills the plan of the next step. It is empty only if the scheduler is idle or all that runs awaits a result.</summary>
    public void Plan(StepPlan plan)
    {
        plan.Clear();
        bool preempted = PlanDecodes(plan);
        PlanPrefills(plan);
        if (!preempted)
            Admit(plan);
        if (plan.IsEmpty && !IsIdle && !AnyInFlight())
            throw new InvariantException($"nothing was planned with {_running.Count} running and {_waiting.Count} waiting sequences");
    }

    /// <summary>
    /// Takes over what a step computed: appends tokens, ends sequences and frees their blocks. Rows of sequences that ended after the
    /// step was planned are dropped; one that was preempted keeps its token.
    /// </summary>
    public void Commit(StepPlan plan, StepResult result)
    {
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        bool ended = false;
        for (int i = 0; i < rows.Length; i++)
        {
            if (rows[i].Sequence.State == SequenceState.Finished)
                continue;
            FinishReason reason = Commit(rows[i], result.Tokens[i]);
            if (reason == FinishReason.None)
                continue;
            End(rows[i].Sequence, reason);
            ended = true;
        }
        if (!ended)
            return;
        _running.RemoveAll(static sequence => sequence.State == SequenceState.Finished);
        _waiting.RemoveAll(static sequence => sequence.State == SequenceState.Finished);
    }

    /// <summary>Ends a sequence between steps (cancelled or failed) and frees its blocks. Does nothing if it has ended.</summary>
    public void Finish(Sequence sequence, FinishReason reason)
    {
        if (sequence.State == SequenceState.Finished)
            return;
        List<Sequence> list = sequence.State == SequenceState.Running ? _running : _waiting;
        int index = IndexOf(list, sequence);
        list.RemoveAt(index);
        End(sequence, reason);
    }

    /// <summary>Checks all bookkeeping against itself: lists, slots, tables and reference counts.</summary>
    public void CheckInvariants()
    {
        _pool.CheckInvariants();
        SchedulerInvariants.Check(this, _limits, _freeSlots);
    }

    private Sequence? Youngest => _waiting.Count > 0 ? _waiting[^1] : _running.Count > 0 ? _running[^1] : null;

    /// <summary>One token for each running sequence whose prefill is done. Returns whether anyone was preempted.</summary>
    private bool PlanDecodes(StepPlan plan)
    {
        bool preempted = false;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (sequence.PendingCount != 1 || sequence.AwaitsResult)
                continue;
            while (!TryReserve(sequence, margin: 0))
            {
                Sequence victim = _running[^1];
                Preempt(victim);
                preempted = true;
                if (victim == sequence)
                    return true;
            }
            Schedule(plan, sequence, count: 1, isNewInSlot: false);
        }
        return preempted;
    }

    /// <summary>Further chunks of running prefills. Their blocks were reserved at admission.</summary>
    private void PlanPrefills(StepPlan plan)
    {
        foreach (Sequence sequence in Running)
        {
            int budget = _limits.TokensMax - plan.TokenCount;
            if (budget == 0)
                return;
            if (sequence.PendingCount > 1)
                Schedule(plan, sequence, Math.Min(sequence.PendingCount, budget), isNewInSlot: false);
        }
    }

    /// <summary>
    /// Lets waiting sequences run while places, tokens and blocks last. Each takes the blocks of all its tokens at once, so a
    /// prefill once begun never preempts. A margin stays free for the decodes of others, unless nothing else runs.
    /// </summary>
    private void Admit(StepPlan plan)
    {
        int admitted = 0;
        while (admitted < _waiting.Count && _running.Count < _limits.SequencesMax && plan.TokenCount < _limits.TokensMax)
        {
            Sequence sequence = _waiting[admitted];
            if (sequence.InFlightCount > 0 || !TryReserve(sequence, margin: _running.Count == 0 ? 0 : _watermark))
                break;
            sequence.Slot = _freeSlots.Pop();
            sequence.State = SequenceState.Running;
            _running.Add(sequence);
            admitted++;
            Schedule(plan, sequence, Math.Min(sequence.PendingCount, _limits.TokensMax - plan.TokenCount), isNewInSlot: true);
        }
        _waiting.RemoveRange(0, admitted);
    }

    /// <summary>Plans tokens as if the step had run: the next plan may be made before its result is known.</summary>
    private static void Schedule(StepPlan plan, Sequence sequence, int count, bool isNewInSlot)
    {
        bool samples = count == sequence.PendingCount;
        int row = plan.Sequences.Length;
        plan.Add(new ScheduledSequence
        {
            Sequence = sequence,
            Start = sequence.ComputedCount,
            Count = count,
            Samples = samples,
            TokenSource = sequence.InFlightCount > 0 ? sequence.InFlightRow : null,
            IsNewInSlot = isNewInSlot,
        });
        sequence.ComputedCount += count;
        if (!samples)
            return;
        sequence.InFlightCount++;
        sequence.InFlightRow = row;
    }

    private bool AnyInFlight()
    {
        foreach (Sequence sequence in Running)
            if (sequence.InFlightCount > 0)
                return true;
        foreach (Sequence sequence in Waiting)
            if (sequence.InFlightCount > 0)
                return true;
        return false;
    }

    /// <summary>Gives a sequence the blocks of all its tokens, or nothing if fewer than needed plus the margin are free.</summary>
    private bool TryReserve(Sequence sequence, int margin)
    {
        int missing = (int)KvDemand.Blocks(sequence.ExpectedCount, _limits.BlockSize) - sequence.Blocks.Count;
        if (missing > 0 && missing > _pool.FreeCount - margin)
            return false;
        for (int i = 0; i < missing; i++)
            sequence.Blocks.Add(_pool.Take(out _));
        return true;
    }

    private void Preempt(Sequence victim)
    {
        if (_running.Count == 1)
            throw new InvariantException($"sequence {victim.Arrival} needs more KV blocks than the whole pool of {_pool.UsableCount}");
        PreemptionCount++;
        RecomputedTokenCount += victim.ComputedCount;
        _running.RemoveAt(_running.Count - 1);
        _waiting.Insert(0, victim);
        Release(victim);
        victim.ComputedCount = 0;
        victim.State = SequenceState.Preempted;
    }

    private static FinishReason Commit(in ScheduledSequence row, in SampledToken sampled)
    {
        Sequence sequence = row.Sequence;
        if (row.Samples)
            sequence.InFlightCount--;
        if (sampled.Failed)
            return FinishReason.Error;
        if (sampled.PromptLogprobs is not null)
            sequence.AddPromptLogprobs(row.Start + 1, sampled.PromptLogprobs);
        if (!row.Samples)
            return FinishReason.None;
        if (sampled.Token < 0)
            throw new InvariantException($"the executor drew no token for sequence {sequence.Arrival}, which the plan samples");
        sequence.Append(sampled.Token);
        if (sequence.EndIds.AsSpan().Contains(sampled.Token))
            return FinishReason.Stop;
        return sequence.OutputCount >= sequence.MaxOutputCount ? FinishReason.Length : FinishReason.None;
    }

    private void End(Sequence sequence, FinishReason reason)
    {
        if (sequence.State == SequenceState.Finished)
            throw new InvariantException($"sequence {sequence.Arrival} ends twice");
        Release(sequence);
        sequence.State = SequenceState.Finished;
        sequence.FinishReason = reason;
    }

    /// <summary>Gives back blocks, last first, and slot.</summary>
    private void Release(Sequence sequence)
    {
        for (int i = sequence.Blocks.Count - 1; i >= 0; i--)
            _pool.Release(sequence.Blocks[i]);
        sequence.Blocks.Truncate(0);
        if (sequence.Slot >= 0)
            _freeSlots.Push(sequence.Slot);
        sequence.Slot = -1;
    }

    /// <summary>Binary search by arrival.</summary>
    private static int IndexOf(List<Sequence> list, Sequence sequence)
    {
        int low = 0, high = list.Count - 1;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (list[middle].Arrival < sequence.Arrival)
                low = middle + 1;
            else
                high = middle;
        }
        if (low > high || list[low] != sequence)
            throw new InvariantException($"sequence {sequence.Arrival} is {sequence.State} but not in its list");
        return low;
    }
}
