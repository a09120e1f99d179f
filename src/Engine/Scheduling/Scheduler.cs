using System.Runtime.InteropServices;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// Decides what each step computes and which sequence holds which KV blocks and slot. Pure bookkeeping: no thread, no device, no
/// randomness, and no clock but the one that is injected for deadlines. Requests are served in the order of priority and arrival under one
/// token budget; a prompt longer than what is left of it is computed in chunks beside the decodes of others. When blocks run short the
/// running request that is last in the order gives all of its blocks back (preemption), to be recomputed later or swapped to host memory.
/// The first in the order is never preempted and fits alone, so everything ends. A steady decode step allocates nothing. Engine thread only.
/// </summary>
/// <remarks>
/// A step may be planned before the result of the one before it is committed, but of no other: a token in flight is always one that the
/// step before draws. Whoever ends or is preempted meanwhile gives its blocks and slots back at once, although a planned step may still
/// read and write them. That is safe because the device runs steps in the order in which they were planned: the next owner's step comes
/// after, and it overwrites a slot before it reads it.
/// </remarks>
internal sealed class Scheduler
{
    // Requests passed over in one step because they do not fit: each costs a look at the prefix cache.
    private const int PassedMax = 4;

    private readonly SchedulerLimits _limits;
    private readonly TimeProvider _time;
    private readonly BlockManager _blocks;
    private readonly BlockPool _pool;
    private readonly KeyQueue _anonymous = new("anonymous");
    private readonly WaitingQueue _waiting = new();
    private readonly List<SequenceGroup> _running;
    private readonly List<SequenceGroup> _preempted;
    private readonly List<SequenceGroup> _passed = new(PassedMax);
    private readonly List<SequenceGroup> _ended = [];
    private readonly PinnedPrefixes _pins;
    private readonly Stack<int> _freeSlots;
    private readonly GroupTables _tables;
    private readonly Preemption _preemption;
    private readonly BeamForks _beamForks;
    private readonly PrefixMatch _match = new();
    private readonly int _watermark;
    private int _wideCount; // running requests that can have more than one sequence
    private int _deadlineCount; // requests that live and have one
    private int _meteredCount; // requests that live and want a report
    private int _unlistedCount; // requests that ended and are still in their list: the last of _ended

    public Scheduler(SchedulerLimits limits, TimeProvider? time = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.SequencesMax, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.TokensMax, limits.SequencesMax);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.BlockSize, 1);
        _limits = limits;
        _time = time ?? TimeProvider.System;
        _blocks = new BlockManager(limits.BlockCount, limits.BlockSize, limits.HostBlockCount, limits.PrefixCaching, limits.PrefixHashSeed);
        _pool = _blocks.Pool;
        _running = new List<SequenceGroup>(limits.SequencesMax);
        _preempted = new List<SequenceGroup>(limits.SequencesMax);
        _freeSlots = new Stack<int>(limits.SequencesMax);
        for (int slot = limits.SequencesMax - 1; slot >= 0; slot--)
            _freeSlots.Push(slot);
        _tables = new GroupTables(limits.BlockCount);
        _preemption = new Preemption(limits, _blocks, _tables);
        _pins = new PinnedPrefixes(_blocks);
        _beamForks = new BeamForks(_blocks, _freeSlots);
        _watermark = (int)(_pool.UsableCount * limits.Watermark);
    }

    /// <summary>Requests that hold blocks and slots, first in order first.</summary>
    public ReadOnlySpan<SequenceGroup> Running => CollectionsMarshal.AsSpan(_running);

    /// <summary>Requests that ran and gave their blocks back, first in order first.</summary>
    public ReadOnlySpan<SequenceGroup> Preempted => CollectionsMarshal.AsSpan(_preempted);

    /// <summary>Requests that have not run yet.</summary>
    public WaitingQueue Waiting => _waiting;

    /// <summary>Requests that hold no blocks of the pool: new and preempted ones.</summary>
    public int WaitingCount => _waiting.Count + _preempted.Count;

    /// <summary>The request that is first in the order of priority and arrival of all that live, or null.</summary>
    public SequenceGroup? Oldest
    {
        get
        {
            SequenceGroup? oldest = _waiting.Oldest();
            if (_running.Count > 0 && (oldest is null || _running[0].IsBefore(oldest)))
                oldest = _running[0];
            if (_preempted.Count > 0 && (oldest is null || _preempted[0].IsBefore(oldest)))
                oldest = _preempted[0];
            return oldest;
        }
    }

    /// <summary>True if nothing runs or waits.</summary>
    public bool IsIdle => _running.Count == 0 && _preempted.Count == 0 && _waiting.Count == 0;

    /// <summary>The KV blocks, on the device and on the host.</summary>
    public BlockManager Blocks => _blocks;

    /// <summary>Token slots of a block.</summary>
    public int BlockSize => _limits.BlockSize;

    /// <summary>Prefixes that are registered by name.</summary>
    public PinnedPrefixes Pins => _pins;

    /// <summary>How requests gave their blocks back so far.</summary>
    public Preemption Preemption => _preemption;

    /// <summary>Most blocks that a request can need, whatever happens to it (specification of admission, possibility).</summary>
    public long BlocksMax(SequenceGroup group) => _limits.Reservation == Reservation.None
        ? KvDemand.BlocksMax(group.First.PromptCount, group.First.MaxOutputCount, group.Width, _limits.BlockSize)
        : KvDemand.Blocks(ReservedTokens(group.First), _limits.BlockSize);

    /// <summary>Null if a request can be guaranteed to end; otherwise why not.</summary>
    public string? Refusal(SequenceGroup group)
    {
        int usable = _pool.UsableCount - _pins.BlockCount, pinned = group.Pin?.BlockCount ?? 0;
        long blocks = BlocksMax(group);
        if (blocks > usable)
            return $"the request can need {blocks} KV blocks, the pool has {usable} for requests";
        if (group.Width > _limits.SequencesMax)
            return $"the request is {group.Width} sequences wide, a step has room for {_limits.SequencesMax}";
        if (group.Beams is not null && group.Beams.CandidateCount > StepResult.CandidatesMax)
            return $"the beams need {group.Beams.CandidateCount} candidates in a step, found room for {StepResult.CandidatesMax}";
        if (!_limits.ChunksPrefills && group.First.PromptCount + group.First.MaxOutputCount - 1 > _limits.TokensMax)
            return $"the request can have {group.First.PromptCount + group.First.MaxOutputCount - 1} tokens to compute at once, a step takes {_limits.TokensMax}";
        return pinned > 0 ? PinRefusal(pinned) : null;
    }

    /// <summary>Takes a new request. It arrived after all others, and <see cref="Refusal"/> has nothing against it.</summary>
    public void Add(SequenceGroup group)
    {
        if (Refusal(group) is string refusal)
            throw new ArgumentException(refusal, nameof(group));
        if (_limits.Reservation != Reservation.None && group.Width > 1)
            throw new ArgumentException("a baseline that reserves whole outputs runs one sequence per request", nameof(group));
        group.Key ??= _anonymous;
        group.State = GroupState.Waiting;
        _waiting.Add(group);
        if (group.Pin is PinnedPrefix pin)
            _pins.Add(pin);
        if (group.Deadline != long.MaxValue)
            _deadlineCount++;
        if (group.Sharing is not null)
            _meteredCount++;
    }

    /// <summary>Fills the plan of the next step. It is empty only if the scheduler is idle or all that runs awaits a result.</summary>
    public void Plan(StepPlan plan)
    {
        plan.Clear();
        if (_deadlineCount > 0)
            EndExpired();
        if (_limits.SeparatesPrefills)
            PlanSeparately(plan);
        else
            PlanMixed(plan);
        if (plan.IsEmpty && !IsIdle && !AnyInFlight())
            throw new InvariantException($"nothing was planned with {_running.Count} running, {_preempted.Count} preempted and {_waiting.Count} waiting requests");
        if (_meteredCount > 0)
            MeasureSharing(plan);
    }

    /// <summary>
    /// Takes over what a step computed: appends tokens, ends sequences and frees their blocks, lets beams branch, and puts blocks that are
    /// full into the prefix cache. Rows of sequences that ended after the step was planned are dropped; one that was preempted keeps its token.
    /// </summary>
    public void Commit(StepPlan plan, StepResult result)
    {
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        for (int i = 0; i < rows.Length; i++)
        {
            ref readonly ScheduledSequence row = ref rows[i];
            Sequence sequence = row.Sequence;
            if (row.IsBeam || sequence.FinishReason != FinishReason.None)
                continue;
            FinishReason reason = Commit(row, result.Tokens[i]);
            if (reason != FinishReason.Error) // what a failed row stored is not for others to find
                Index(sequence, row.Start + row.Count);
            if (reason == FinishReason.Error)
                End(sequence.Group, reason);
            else if (reason != FinishReason.None)
                End(sequence, reason);
        }
        for (int i = 0; i < plan.Beams.Length; i++)
            CommitBeams(plan, i, result);
        RemoveEnded();
    }

    /// <summary>Ends a request between steps (cancelled or failed) and frees what it holds. Does nothing if it has ended.</summary>
    public void Finish(SequenceGroup group, FinishReason reason)
    {
        if (group.State == GroupState.Finished)
            return;
        End(group, reason);
        RemoveEnded();
    }

    /// <summary>Ends one sequence of a request; the request ends with its last. Beams do not end one by one: nothing happens to them.</summary>
    public void Finish(SequenceGroup group, int index, FinishReason reason)
    {
        if (group.State == GroupState.Finished || group.Beams is not null)
            return;
        if (group.AwaitsForks)
        {
            group.EndEarly(index); // it does not exist yet: it ends with its first token
            return;
        }
        foreach (Sequence sequence in group.Live)
        {
            if (sequence.Index != index)
                continue;
            End(sequence, reason);
            RemoveEnded();
            return;
        }
    }

    /// <summary>
    /// A launched step failed: its requests end, and blocks that it was to move to the host are lost, so those requests are recomputed.
    /// </summary>
    public void Fail(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            if (row.Sequence.Group.State != GroupState.Finished)
                End(row.Sequence.Group, FinishReason.Error);
        foreach (SequenceGroup group in plan.SwappedOut)
        {
            if (group.State == GroupState.Swapped)
                _preemption.Drop(group);
            else if (group.State != GroupState.Finished)
                End(group, FinishReason.Error); // the step behind this one has read it back already
        }
        RemoveEnded();
    }

    /// <summary>Requests that ended since the last call.</summary>
    public void TakeEnded(List<SequenceGroup> ended)
    {
        ended.AddRange(_ended);
        _ended.Clear();
    }

    /// <summary>Forgets every cached prefix and lets the registered ones go. Requests that run keep what they hold.</summary>
    public void ResetPrefixCache()
    {
        _pins.Clear();
        _blocks.ResetPrefixCache();
    }

    /// <summary>Checks all bookkeeping against itself: lists, slots, tables and reference counts.</summary>
    public void CheckInvariants() => SchedulerInvariants.Check(this, _limits, _freeSlots);

    private void PlanMixed(StepPlan plan)
    {
        bool preempted = PlanDecodes(plan);
        PlanPrefills(plan);
        if (preempted)
            return;
        Resume(plan, null);
        Admit(plan);
    }

    /// <summary>The paper's order (section 4.5): prompts alone, unless someone is swapped out; otherwise decodes, then who comes back.</summary>
    private void PlanSeparately(StepPlan plan)
    {
        PlanPrefills(plan);
        if (!_preempted.Exists(static group => group.State == GroupState.Swapped))
        {
            Resume(plan, GroupState.Preempted);
            Admit(plan);
        }
        if (plan.IsEmpty && !PlanDecodes(plan))
            Resume(plan, GroupState.Swapped);
    }

    /// <summary>One token for each sequence of each running request whose prefill is done. Returns whether anyone was preempted.</summary>
    private bool PlanDecodes(StepPlan plan)
    {
        bool preempted = false;
        for (int i = 0; i < _running.Count; i++)
        {
            SequenceGroup group = _running[i];
            if (group.IsPrefilling || group.AwaitsResult)
                continue;
            while (!TryPrepareWrites(group, plan))
            {
                SequenceGroup victim = _running[^1];
                // A plan without a row is not run, and then what it would swap is lost.
                Preempt(victim, plan, maySwap: !plan.IsEmpty);
                preempted = true;
                if (victim == group)
                    return true;
            }
            ScheduleDecode(plan, group);
        }
        return preempted;
    }

    /// <summary>Makes room for the next token of each sequence, or changes nothing.</summary>
    private bool TryPrepareWrites(SequenceGroup group, StepPlan plan)
    {
        if (group.Width == 1)
        {
            Sequence only = group.Live[0];
            return only.ComputedCount % _limits.BlockSize != 0 || _blocks.TryGrow(only.Blocks, only.ComputedCount + 1, margin: 0);
        }
        _tables.Load(group);
        if (_blocks.WriteCost(_tables.Tables, _tables.Positions) > _pool.FreeCount)
            return false;
        int copies = plan.Copies.Length;
        foreach (Sequence sequence in group.Live)
            _blocks.PrepareWrite(sequence.Blocks, sequence.ComputedCount, plan);
        if (group.Sharing is not null)
            group.Sharing.CopiesOnWrite += plan.Copies.Length - copies;
        return true;
    }

    private static void ScheduleDecode(StepPlan plan, SequenceGroup group)
    {
        if (group.Beams is not null)
            plan.Add(new BeamRows(plan.Sequences.Length, group.Live.Length, group.Beams.CandidateCount));
        foreach (Sequence sequence in group.Live)
            Schedule(plan, sequence, count: 1);
        group.Key!.Charge(0, group.Live.Length);
    }

    /// <summary>Further chunks of running prefills. Their blocks were reserved when they started.</summary>
    private void PlanPrefills(StepPlan plan)
    {
        foreach (SequenceGroup group in Running)
        {
            if (plan.TokenCount == _limits.TokensMax)
                return;
            if (group.IsPrefilling)
                SchedulePrefill(plan, group);
        }
    }

    /// <summary>
    /// The next chunks of what is known of a request. A single sequence draws at the end of it. Several are recomputed up to their last
    /// token, which they then compute together, as decodes.
    /// </summary>
    private void SchedulePrefill(StepPlan plan, SequenceGroup group)
    {
        bool isSingle = group.Live.Length == 1;
        bool isDone = true;
        foreach (Sequence sequence in group.Live)
        {
            int want = isSingle ? sequence.PendingCount : sequence.PendingCount - 1;
            // A source stands before who goes on from its blocks, and leaves no token of the step while it has any to compute. Keys and values
            // of all rows are written before any row reads them, so both may be in one step.
            int count = Math.Min(want, _limits.TokensMax - plan.TokenCount);
            isDone &= count == want;
            if (count == 0)
                continue;
            sequence.Source = null;
            bool draws = isSingle && count == want, forks = draws && group.Beams is null && group.AwaitsForks;
            if (draws && group.Beams is not null)
                plan.Add(new BeamRows(plan.Sequences.Length, 1, group.Beams.CandidateCount));
            Schedule(plan, sequence, count);
            group.Key!.Charge(count, draws ? 1 : 0);
            if (forks)
                Fork(plan, group);
        }
        group.IsPrefilling = !isDone;
    }

    /// <summary>The prompt is computed by the row just planned: the other sequences begin with its blocks and draw from its logits.</summary>
    private void Fork(StepPlan plan, SequenceGroup group)
    {
        Sequence first = group.First;
        int row = plan.Sequences.Length - 1;
        for (int index = 1; index < group.Width; index++)
        {
            Sequence child = first.Fork(index);
            _blocks.Fork(first.Blocks, child.Blocks, first.Blocks.Count);
            group.Add(child);
            TakeSlot(child);
            Schedule(plan, child, count: 0, row);
        }
        group.Key!.Charge(0, group.Width - 1);
    }

    /// <summary>Brings preempted requests back, first in order first, while places, tokens and blocks last.</summary>
    private void Resume(StepPlan plan, GroupState? only)
    {
        while (NextPreempted(only) is SequenceGroup group)
        {
            if (group.HasTokenInFlight || !HasPlace(group, plan) || !TryRestore(group, plan))
                return;
            _preempted.Remove(group);
            Start(group);
            if (group.IsPrefilling)
                SchedulePrefill(plan, group);
            else
                ScheduleDecode(plan, group);
        }
    }

    private SequenceGroup? NextPreempted(GroupState? only)
    {
        foreach (SequenceGroup group in Preempted)
            if (only is null || group.State == only)
                return group;
        return null;
    }

    /// <summary>Gives a preempted request its blocks again, or changes nothing.</summary>
    private bool TryRestore(SequenceGroup group, StepPlan plan)
    {
        if (group.State == GroupState.Preempted)
        {
            group.IsPrefilling = true;
            return group.Live.Length == 1 ? TryReserve(group, Margin) : Recomputation.TryReserve(group, _blocks, Margin);
        }
        if (!_preemption.TrySwapIn(group, plan, Margin))
            return false;
        // It decodes in the same step.
        if (!TryPrepareWrites(group, plan))
            throw new InvariantException($"request {group.Arrival} was swapped in without room for its next token");
        return true;
    }

    /// <summary>
    /// Lets new requests start while places, tokens and blocks last. Each takes the blocks of all its tokens at once, so a prefill once
    /// begun never preempts. A margin stays free for the decodes of others, unless nothing else runs. A request that does not fit keeps
    /// its place and is overtaken a bounded number of times; none of no better priority overtakes one that was preempted.
    /// </summary>
    private void Admit(StepPlan plan)
    {
        if (_waiting.Count == 0)
            return;
        _passed.Clear();
        _waiting.BeginScan();
        while (MayOvertake() && _freeSlots.Count > 0 && plan.TokenCount < _limits.TokensMax && _waiting.Next() is SequenceGroup group)
        {
            if (_preempted.Count > 0 && group.Priority >= _preempted[0].Priority)
                return;
            if (!HasPlace(group, plan) || !TryReserve(group, Margin))
            {
                _passed.Add(group);
                continue;
            }
            _waiting.Remove(group);
            foreach (SequenceGroup passed in _passed)
                passed.OvertakenCount++;
            group.IsPrefilling = true;
            Start(group);
            SchedulePrefill(plan, group);
        }
    }

    /// <summary>True if those that did not fit may be overtaken once more.</summary>
    private bool MayOvertake()
    {
        foreach (SequenceGroup passed in _passed)
            if (passed.OvertakenCount >= _limits.OvertakesMax)
                return false;
        return _passed.Count < PassedMax;
    }

    private int Margin => _running.Count == 0 ? 0 : _watermark;

    /// <summary>True if a request has its slots and at least one token in this step.</summary>
    private bool HasPlace(SequenceGroup group, StepPlan plan)
    {
        int tokens = !_limits.ChunksPrefills && group.State != GroupState.Swapped ? group.Live[0].PendingCount
            : group.State == GroupState.Swapped ? group.Live.Length : 1;
        return group.SlotCount <= _freeSlots.Count - PromisedSlots() && tokens <= _limits.TokensMax - plan.TokenCount;
    }

    /// <summary>Slots that running requests will need for sequences that do not exist yet.</summary>
    private int PromisedSlots()
    {
        int promised = 0;
        if (_wideCount > 0)
            foreach (SequenceGroup group in Running)
                promised += group.SlotCount - group.Live.Length;
        return promised;
    }

    /// <summary>The blocks of all tokens of a request with one sequence: those in the prefix cache, and new ones.</summary>
    private bool TryReserve(SequenceGroup group, int margin)
    {
        Sequence sequence = group.Live[0];
        // Log-probabilities of the prompt need its logits, so all of it is computed.
        bool mayMatch = sequence.Sampling.PromptLogprobs is null;
        if (mayMatch)
            _blocks.Match(sequence.Tokens, group.Salt, _match);
        else
            _match.Clear();
        long tokens = _limits.Reservation == Reservation.None ? sequence.ExpectedCount : ReservedTokens(sequence);
        if (!_blocks.TryReserve(sequence.Blocks, _match, tokens, margin))
            return false;
        sequence.ComputedCount = _match.TokenCount;
        if (group.State != GroupState.Waiting)
            return true;
        group.CachedTokenCount = _match.TokenCount;
        if (group.Sharing is not null)
            group.Sharing.PromptBlocksFromCache = _match.BlockCount;
        return true;
    }

    private long ReservedTokens(Sequence sequence) => _limits.Reservation switch
    {
        Reservation.Max => _limits.ContextMax,
        Reservation.Pow2 => Math.Min(_limits.ContextMax, sequence.PromptCount + (long)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)sequence.MaxOutputCount)),
        _ => (long)sequence.PromptCount + sequence.MaxOutputCount,
    };

    /// <summary>A request that has its blocks begins to run: it gets slots and its place in the order.</summary>
    private void Start(SequenceGroup group)
    {
        group.State = GroupState.Running;
        foreach (Sequence sequence in group.Live)
            TakeSlot(sequence);
        if (group.Width > 1)
            _wideCount++;
        InsertInOrder(_running, group);
    }

    private void TakeSlot(Sequence sequence)
    {
        sequence.Slot = _freeSlots.Pop();
        sequence.IsNewInSlot = true;
    }

    /// <summary>Plans tokens as if the step had run: the next plan may be made before its result is known.</summary>
    private static void Schedule(StepPlan plan, Sequence sequence, int count, int? logitsRow = null)
    {
        bool samples = count == sequence.PendingCount;
        int row = plan.Sequences.Length;
        plan.Add(new ScheduledSequence
        {
            Sequence = sequence,
            Start = sequence.ComputedCount,
            Count = count,
            Samples = samples,
            LogitsRow = logitsRow,
            TokenSource = sequence.InFlightCount > 0 ? sequence.InFlightRow : null,
            IsNewInSlot = sequence.IsNewInSlot,
            IsBeam = samples && sequence.Group.Beams is not null,
        });
        sequence.IsNewInSlot = false;
        sequence.ComputedCount += count;
        if (!samples)
            return;
        sequence.InFlightCount++;
        sequence.InFlightRow = row;
    }

    private bool AnyInFlight()
    {
        foreach (SequenceGroup group in Running)
            if (group.HasTokenInFlight)
                return true;
        foreach (SequenceGroup group in Preempted)
            if (group.HasTokenInFlight)
                return true;
        return false;
    }

    /// <summary>Takes all blocks of a running request, by the way that costs less, and its slots.</summary>
    private void Preempt(SequenceGroup victim, StepPlan plan, bool maySwap)
    {
        if (_running.Count == 1)
            throw new InvariantException($"request {victim.Arrival} needs more KV blocks than the whole pool of {_pool.UsableCount}");
        _preemption.TakeBlocks(victim, plan, maySwap);
        _running.RemoveAt(_running.Count - 1); // listed until here, so that its reader is told if a check above fails
        GiveBack(victim);
    }

    /// <summary>What a step computed is final: full blocks can be found by others from now on.</summary>
    private void Index(Sequence sequence, int finalCount)
    {
        if (_limits.PrefixCaching && sequence.Group.State == GroupState.Running && finalCount / _limits.BlockSize > sequence.Blocks.IndexedCount)
            _blocks.Index(sequence.Blocks, sequence.Tokens, sequence.Group.Salt, finalCount);
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
            throw new InvariantException($"the executor drew no token for sequence {sequence.Index} of request {sequence.Arrival}, which the plan samples");
        sequence.Append(sampled.Token);
        if (sequence.EndIds.AsSpan().Contains(sampled.Token))
            return FinishReason.Stop;
        if (sequence.OutputCount >= sequence.MaxOutputCount)
            return FinishReason.Length;
        return sequence.Group.EndsEarly(sequence.Index) ? FinishReason.Cancelled : FinishReason.None;
    }

    /// <summary>Lets the best continuations of a request's beams go on, and ends it if the search is over.</summary>
    private void CommitBeams(StepPlan plan, int entry, StepResult result)
    {
        BeamRows beams = plan.Beams[entry];
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences.Slice(beams.FirstRow, beams.RowCount);
        SequenceGroup group = rows[0].Sequence.Group;
        if (group.State == GroupState.Finished)
            return;
        foreach (ref readonly ScheduledSequence row in rows)
        {
            row.Sequence.InFlightCount = 0;
            if (!result.BeamFailed(entry))
                Index(row.Sequence, row.Start + row.Count);
        }
        if (result.BeamFailed(entry))
            End(group, FinishReason.Error);
        else if (group.Beams!.Advance(result.Candidates(entry)[..beams.CandidateCount], group.Live))
            End(group, FinishReason.Stop);
        else
            _beamForks.Branch(group);
    }

    /// <summary>Ends requests whose time has passed. The clock is read only while someone has a deadline.</summary>
    private void EndExpired()
    {
        long now = _time.GetTimestamp();
        foreach (SequenceGroup group in Running)
            if (group.Deadline <= now)
                End(group, FinishReason.DeadlineExceeded);
        foreach (SequenceGroup group in Preempted)
            if (group.Deadline <= now)
                End(group, FinishReason.DeadlineExceeded);
        foreach (KeyQueue key in _waiting.Active)
            foreach (SequenceGroup group in key.Waiting)
                if (group.Deadline <= now)
                    End(group, FinishReason.DeadlineExceeded);
        RemoveEnded();
    }

    private void End(Sequence sequence, FinishReason reason)
    {
        SequenceGroup group = sequence.Group;
        sequence.FinishReason = reason;
        if (group.Live.Length == 1)
        {
            End(group, reason);
            return;
        }
        Release(sequence);
        group.Remove(sequence);
        if (group is not { State: GroupState.Running, IsPrefilling: true })
            return;
        if (Recomputation.DependsOn(group, sequence))
            Restart(group);
        else
            group.IsPrefilling = Recomputation.IsUnderWay(group); // it may have been the last that had anything left
    }

    /// <summary>Others were to go on from blocks that a sequence no longer computes: the request begins its recomputation anew.</summary>
    private void Restart(SequenceGroup group)
    {
        _running.Remove(group);
        GiveBack(group);
        _preemption.Drop(group);
    }

    /// <summary>A request no longer runs: its slots are free, and it waits in its place to come back.</summary>
    private void GiveBack(SequenceGroup group)
    {
        if (group.Width > 1)
            _wideCount--;
        foreach (Sequence sequence in group.Live)
            ReleaseSlot(sequence);
        InsertInOrder(_preempted, group);
    }

    /// <summary>Ends a request: everything it holds is free. Its lists are cleaned by <see cref="RemoveEnded"/>.</summary>
    private void End(SequenceGroup group, FinishReason reason)
    {
        if (group.State == GroupState.Finished)
            throw new InvariantException($"request {group.Arrival} ends twice");
        if (group.Pin is PinnedPrefix pin && !_pins.TryKeep(pin, group, reason) && reason is FinishReason.Stop or FinishReason.Length)
        {
            reason = FinishReason.Error;
            group.Message ??= "it was released, or preempted in its last step, before it was kept; register it again";
        }
        foreach (Sequence sequence in group.Live)
        {
            Release(sequence);
            if (sequence.FinishReason == FinishReason.None)
                sequence.FinishReason = reason;
        }
        if (group.State == GroupState.Running && group.Width > 1)
            _wideCount--;
        if (group.Deadline != long.MaxValue)
            _deadlineCount--;
        if (group.Sharing is not null)
            _meteredCount--;
        group.StateAtEnd = group.State;
        group.State = GroupState.Finished;
        group.FinishReason = reason;
        _ended.Add(group);
        _unlistedCount++;
    }

    private void RemoveEnded()
    {
        if (_unlistedCount == 0)
            return;
        bool ran = false;
        for (int i = _ended.Count - _unlistedCount; i < _ended.Count; i++)
        {
            SequenceGroup group = _ended[i];
            if (group.StateAtEnd == GroupState.Waiting)
                _waiting.Remove(group);
            else
                ran = true;
            _waiting.Leave(group.Key!);
        }
        _unlistedCount = 0;
        if (!ran)
            return;
        _running.RemoveAll(static group => group.State == GroupState.Finished);
        _preempted.RemoveAll(static group => group.State == GroupState.Finished);
    }

    /// <summary>Gives back the blocks and the slot of a sequence.</summary>
    private void Release(Sequence sequence)
    {
        _blocks.Free(sequence.Blocks);
        ReleaseSlot(sequence);
    }

    private void ReleaseSlot(Sequence sequence)
    {
        if (sequence.Slot >= 0)
            _freeSlots.Push(sequence.Slot);
        sequence.Slot = -1;
    }

    /// <summary>Null if every request that lives can still be guaranteed to end beside so many more blocks that stay.</summary>
    private string? PinRefusal(int blocks)
    {
        int usable = _pool.UsableCount - _pins.BlockCount - blocks;
        long most = 1;
        foreach (SequenceGroup group in Running)
            most = Math.Max(most, BlocksMax(group));
        foreach (SequenceGroup group in Preempted)
            most = Math.Max(most, BlocksMax(group));
        foreach (KeyQueue key in _waiting.Active)
            foreach (SequenceGroup group in key.Waiting)
                most = Math.Max(most, BlocksMax(group));
        return most <= usable ? null
            : $"the prefix keeps {blocks} KV blocks; {usable} of {_pool.UsableCount} would be left, and a request that waits or runs can need {most}";
    }

    private void MeasureSharing(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            SequenceGroup group = row.Sequence.Group;
            if (group.Sharing is null || row.Sequence != group.Live[0])
                continue;
            _tables.Load(group);
            group.Sharing.CountStep(_tables.LogicalCount(), _tables.DistinctCount());
        }
    }

    private static void InsertInOrder(List<SequenceGroup> list, SequenceGroup group)
    {
        int index = list.Count;
        while (index > 0 && group.IsBefore(list[index - 1]))
            index--;
        list.Insert(index, group);
    }
}
