using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>What must hold of a plan before it runs, given what was there before it was made.</summary>
internal sealed class PlanCheck
{
    private readonly Scheduler _scheduler;
    private readonly SchedulerLimits _limits;
    private readonly Dictionary<long, Request> _live;
    private readonly IReadOnlyList<KeyQueue> _keys;
    private readonly BlockOrigins _origins;
    private readonly Dictionary<KeyQueue, long> _served = [];
    private readonly int[] _writer; // of each KV slot: the plan that wrote it last
    private readonly int[] _slotUser;
    private readonly HashSet<int> _blocks = [];
    private int _plan;
    private Request? _firstRunning;

    public PlanCheck(Scheduler scheduler, SchedulerLimits limits, Dictionary<long, Request> live, IReadOnlyList<KeyQueue> keys, BlockOrigins origins)
    {
        (_scheduler, _limits, _live, _keys, _origins) = (scheduler, limits, live, keys, origins);
        _writer = new int[limits.BlockCount * limits.BlockSize];
        _slotUser = new int[limits.SequencesMax];
    }

    /// <summary>Requests that started, came back or were preempted in the last plan.</summary>
    public int StartedCount { get; private set; }

    public int ResumedCount { get; private set; }

    public int PreemptedCount { get; private set; }

    /// <summary>To be called before a plan is made.</summary>
    public void Before()
    {
        foreach (Request request in _live.Values)
            request.NoteState();
        _firstRunning = _scheduler.Running.Length > 0 ? _live[_scheduler.Running[0].Arrival] : null;
    }

    /// <summary>To be called when a plan was made and requests whose deadline has passed are taken out.</summary>
    /// <param name="inFlight">The plan whose result is not known; null if there is none.</param>
    public void After(StepPlan plan, StepPlan? inFlight)
    {
        _plan++;
        CheckSize(plan);
        CheckCopies(plan);
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            CheckRow(plan, row, inFlight);
        CheckGroups(plan);
        CheckChanges(plan);
        CheckProgress(plan);
        CheckHits(plan);
        CheckService(plan);
        CheckSharing(plan);
    }

    private void CheckSize(StepPlan plan)
    {
        int tokens = 0;
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            tokens += row.Count;
        Promise.Hold(tokens == plan.TokenCount && tokens <= _limits.TokensMax, $"{tokens} tokens are planned, {plan.TokenCount} counted, {_limits.TokensMax} allowed");
        Promise.Hold(plan.Sequences.Length <= _limits.SequencesMax, $"{plan.Sequences.Length} rows are planned, {_limits.SequencesMax} allowed");
        Promise.Hold(plan.SwapIns.IsEmpty || plan.SwapOuts.IsEmpty, $"{plan.SwapOuts.Length} blocks leave and {plan.SwapIns.Length} return in one step");
        Promise.Hold(!plan.IsEmpty || (plan.SwapIns.IsEmpty && plan.SwapOuts.IsEmpty && plan.Copies.IsEmpty), "blocks move in a plan without rows, which is not run");
    }

    /// <summary>Copies run side by side: none may read or write what another writes.</summary>
    private void CheckCopies(StepPlan plan)
    {
        _blocks.Clear();
        foreach (BlockCopy copy in plan.Copies)
            Promise.Hold(_blocks.Add(copy.Destination), $"block {copy.Destination} is the destination of two copies");
        foreach (BlockCopy copy in plan.Copies)
            Promise.Hold(!_blocks.Contains(copy.Source), $"block {copy.Source} is copied and copied into in one step");
        _blocks.Clear();
        foreach (BlockSwap swap in plan.SwapOuts)
            Promise.Hold(_blocks.Add(swap.HostBlock), $"host block {swap.HostBlock} is the destination of two blocks");
        foreach (BlockSwap swap in plan.SwapIns)
            Promise.Hold(_blocks.Add(swap.DeviceBlock), $"block {swap.DeviceBlock} is the destination of two host blocks");
    }

    /// <summary>A row goes on where the last one ended, knows where its token comes from, writes what is its own, and draws no token too many.</summary>
    private void CheckRow(StepPlan plan, in ScheduledSequence row, StepPlan? inFlight)
    {
        Sequence sequence = row.Sequence;
        int end = row.Start + row.Count, known = sequence.TokenCount + (row.TokenSource is null ? 0 : 1);
        Promise.Hold(sequence.Group.State == GroupState.Running && sequence.Group.Live.Contains(sequence), $"sequence {Name(sequence)} is planned while {sequence.Group.State}");
        Promise.Hold(end == sequence.ComputedCount && end <= known, $"sequence {Name(sequence)} is planned for {row.Count} tokens from {row.Start} of {known}");
        Promise.Hold(end < sequence.PromptCount + sequence.MaxOutputCount, $"sequence {Name(sequence)} is planned beyond its last token");
        Promise.Hold(row.Samples == (end == known), $"sequence {Name(sequence)} samples in the wrong step");
        Promise.Hold(row.IsBeam == (row.Samples && sequence.Group.Beams is not null), $"sequence {Name(sequence)} is wrongly planned as a beam");
        Promise.Hold(sequence.Slot >= 0 && sequence.Slot < _limits.SequencesMax && _slotUser[sequence.Slot] != _plan, $"sequence {Name(sequence)} is planned in slot {sequence.Slot}, which is taken");
        _slotUser[sequence.Slot] = _plan;
        if (row.LogitsRow is int logits)
        {
            ref readonly ScheduledSequence from = ref plan.Sequences[logits];
            Promise.Hold(row.Count == 0 && row.IsNewInSlot && from.Samples && from.Sequence.Group == sequence.Group && from.Sequence.Tokens.SequenceEqual(sequence.Tokens),
                $"sequence {Name(sequence)} draws from the logits of row {logits}, which are not its own");
        }
        else
            Promise.Hold(row.Count >= 1, $"sequence {Name(sequence)} is planned for no token");
        CheckWrites(row);
        if (row.TokenSource is not int source)
            return;
        Promise.Hold(row.Count == 1 && inFlight is not null, $"sequence {Name(sequence)} takes a token from a step that is not in flight");
        ref readonly ScheduledSequence drawn = ref inFlight!.Sequences[source];
        Promise.Hold(drawn.Sequence == sequence && drawn.Samples && drawn.Start + drawn.Count == row.Start, $"sequence {Name(sequence)} takes the token of another row");
    }

    /// <summary>A token is written into a block whose owners, beside its sequence, all begin with that token; and nobody else writes there.</summary>
    private void CheckWrites(in ScheduledSequence row)
    {
        Sequence sequence = row.Sequence;
        for (int position = row.Start; position < row.Start + row.Count; position++)
        {
            int entry = position / _limits.BlockSize;
            Promise.Hold(entry < sequence.Blocks.Count, $"sequence {Name(sequence)} has no block for position {position}");
            int block = sequence.Blocks[entry], slot = block * _limits.BlockSize + position % _limits.BlockSize;
            Promise.Hold(_writer[slot] != _plan, $"block {block} is written twice in one place");
            _writer[slot] = _plan;
            int owners = _scheduler.Blocks.Pool.References(block);
            if (owners != 1)
                Promise.Hold(owners == 1 + CountFollowers(sequence, entry, position), $"block {block} is written with {owners} owners");
        }
    }

    /// <summary>Other sequences of the request that need in this place what is written: forks of this step, and those recomputed behind a common beginning.</summary>
    private static int CountFollowers(Sequence sequence, int entry, int position)
    {
        int followers = 0;
        foreach (Sequence other in sequence.Group.Live)
            if (other != sequence && entry < other.Blocks.Count && other.Blocks[entry] == sequence.Blocks[entry]
                && other.ComputedCount > position && other.Tokens.CommonPrefixLength(sequence.Tokens) > position)
                followers++;
        return followers;
    }

    /// <summary>All sequences of a request that draws are planned, or none; beams stand together in the order of their ranks.</summary>
    private void CheckGroups(StepPlan plan)
    {
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        for (int i = 0; i < rows.Length; i++)
        {
            SequenceGroup group = rows[i].Sequence.Group;
            if (!rows[i].Samples || group.Live.Length == 1 || rows[i].Sequence != group.Live[0])
                continue;
            Promise.Hold(i + group.Live.Length <= rows.Length, $"only some sequences of request {group.Arrival} are planned");
            for (int k = 0; k < group.Live.Length; k++)
                Promise.Hold(rows[i + k].Sequence == group.Live[k] && rows[i + k].Samples, $"only some sequences of request {group.Arrival} are planned");
        }
        int beamRows = 0;
        foreach (BeamRows beams in plan.Beams)
        {
            SequenceGroup group = rows[beams.FirstRow].Sequence.Group;
            Promise.Hold(beams.RowCount == group.Live.Length && beams.CandidateCount >= 2 * group.Width, $"request {group.Arrival} searches {beams.RowCount} of {group.Live.Length} beams");
            for (int k = 0; k < beams.RowCount; k++)
                Promise.Hold(rows[beams.FirstRow + k].Sequence == group.Live[k] && rows[beams.FirstRow + k].IsBeam, $"beams of request {group.Arrival} are out of order");
            beamRows += beams.RowCount;
        }
        foreach (ref readonly ScheduledSequence row in rows)
            beamRows -= row.IsBeam ? 1 : 0;
        Promise.Hold(beamRows == 0, $"{-beamRows} beams are planned outside a search");
    }

    /// <summary>Who started, came back and was preempted, and whether that was in order.</summary>
    private void CheckChanges(StepPlan plan)
    {
        StartedCount = ResumedCount = PreemptedCount = 0;
        SequenceGroup? firstPreempted = null, lastKept = null;
        foreach (Request request in _live.Values)
        {
            SequenceGroup group = request.Group;
            bool ran = request.StateBefore == GroupState.Running, runs = group.State == GroupState.Running;
            StartedCount += request.StateBefore == GroupState.Waiting && runs ? 1 : 0;
            ResumedCount += request.StateBefore is GroupState.Preempted or GroupState.Swapped && runs ? 1 : 0;
            if (ran && !runs && (firstPreempted is null || group.IsBefore(firstPreempted)))
                firstPreempted = group;
            if (ran && runs && (lastKept is null || lastKept.IsBefore(group)))
                lastKept = group;
            PreemptedCount += ran && !runs ? 1 : 0;
            if (request.StateBefore == GroupState.Waiting && runs)
                CheckStart(request);
        }
        Promise.Hold(PreemptedCount == 0 || StartedCount + ResumedCount == 0, $"{StartedCount} requests start and {ResumedCount} come back in a step that preempts {PreemptedCount}");
        int started = StartedCount + ResumedCount, watermark = (int)(_limits.Watermark * _scheduler.Blocks.Pool.UsableCount);
        Promise.Hold(started < (lastKept is null ? 2 : 1) || _scheduler.Blocks.Pool.FreeCount >= watermark,
            $"{started} requests start and leave {_scheduler.Blocks.Pool.FreeCount} blocks to those that run, {watermark} are theirs");
        Promise.Hold(firstPreempted is null || lastKept is null || lastKept.IsBefore(firstPreempted), $"request {firstPreempted?.Arrival} was preempted before {lastKept?.Arrival}");
    }

    /// <summary>Nobody of equal or better priority that was preempted waits longer, and those passed over in the queue were not passed too often.</summary>
    private void CheckStart(Request started)
    {
        foreach (Request other in _live.Values)
        {
            SequenceGroup waits = other.Group, starts = started.Group;
            Promise.Hold(waits.State is not (GroupState.Preempted or GroupState.Swapped) || starts.Priority < waits.Priority,
                $"request {starts.Arrival} starts while {waits.Arrival} waits to come back");
            if (waits.State != GroupState.Waiting || waits.Key != starts.Key || !waits.IsBefore(starts))
                continue;
            other.OvertakenCount++;
            Promise.Hold(other.OvertakenCount <= _limits.OvertakesMax, $"request {waits.Arrival} was overtaken {other.OvertakenCount} times, {_limits.OvertakesMax} are allowed");
        }
    }

    /// <summary>The first in the order goes on in every step and is never preempted.</summary>
    private void CheckProgress(StepPlan plan)
    {
        if (_firstRunning is null || _firstRunning.End != Engine.FinishReason.None)
            return;
        SequenceGroup first = _firstRunning.Group;
        Promise.Hold(first.State == GroupState.Running, $"request {first.Arrival} is first in order and was preempted");
        if (_firstRunning.WasAwaiting || _limits.SeparatesPrefills)
            return;
        bool runs = false;
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            runs |= row.Sequence.Group == first;
        Promise.Hold(runs, $"request {first.Arrival} is first in order and does not run");
    }

    /// <summary>
    /// Requests that start, and those recomputed, are given what the cache may give them; and they are given at least what a running request
    /// of their salt holds that begins alike.
    /// </summary>
    private void CheckHits(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            Sequence sequence = row.Sequence;
            if (_live[sequence.Arrival].StateBefore is not (GroupState.Waiting or GroupState.Preempted) || sequence.Group.Live[0] != sequence)
                continue;
            int hits = row.Start / _limits.BlockSize;
            Promise.Hold(row.Start % _limits.BlockSize == 0 && row.Start < sequence.TokenCount, $"sequence {Name(sequence)} starts at token {row.Start} of {sequence.TokenCount}");
            _origins.CheckHit(sequence, hits);
            if (_limits.PrefixCaching && (sequence.Group.Live.Length == 1 || row.Samples))
                foreach (SequenceGroup other in _scheduler.Running)
                    if (other.Salt == sequence.Group.Salt && _live[other.Arrival].StateBefore == GroupState.Running)
                        Promise.Hold(hits >= CommonIndexed(sequence, other.Live[0]), $"sequence {Name(sequence)} was given {hits} blocks of the cache, request {other.Arrival} holds more");
        }
    }

    /// <summary>Full blocks that two sequences begin with alike, as far as those of the second are in the cache. One token is always computed.</summary>
    private int CommonIndexed(Sequence sequence, Sequence other)
    {
        int most = Math.Min(sequence.Tokens.CommonPrefixLength(other.Tokens), sequence.Tokens.Length - 1) / _limits.BlockSize, count = 0;
        while (count < Math.Min(most, other.Blocks.Count) && _scheduler.Blocks.Pool.IsIndexed(other.Blocks[count]))
            count++;
        return count;
    }

    /// <summary>Keys are charged for the tokens computed and drawn for them.</summary>
    private void CheckService(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            Request request = _live[row.Sequence.Arrival];
            bool isInput = request.WasPrefilling || request.StateBefore is GroupState.Waiting or GroupState.Preempted;
            KeyQueue key = row.Sequence.Group.Key!;
            _served[key] = _served.GetValueOrDefault(key) + (isInput ? row.Count : 0) + (row.Samples ? 1 : 0);
        }
        foreach (KeyQueue key in _keys)
            Promise.Hold(key.ServedTokenCount == _served.GetValueOrDefault(key), $"{key.Name} was served {_served.GetValueOrDefault(key)} tokens and is charged {key.ServedTokenCount}");
    }

    /// <summary>Sharing reports count what the tables hold in each step.</summary>
    private void CheckSharing(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            SequenceGroup group = row.Sequence.Group;
            if (group.Sharing is null || row.Sequence != group.Live[0])
                continue;
            Request request = _live[group.Arrival];
            _blocks.Clear();
            foreach (Sequence sequence in group.Live)
            {
                request.LogicalBlocks += sequence.Blocks.Count;
                foreach (int block in sequence.Blocks.Blocks)
                    request.PhysicalBlocks += _blocks.Add(block) ? 1 : 0;
            }
            Promise.Hold(group.Sharing.LogicalBlocks == request.LogicalBlocks && group.Sharing.PhysicalBlocks == request.PhysicalBlocks,
                $"request {group.Arrival} held {request.PhysicalBlocks} blocks for {request.LogicalBlocks} entries, its report says {group.Sharing.PhysicalBlocks} for {group.Sharing.LogicalBlocks}");
        }
    }

    private static string Name(Sequence sequence) => $"{sequence.Arrival}.{sequence.Index}";
}
