using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// One seeded life of a scheduler: its settings, what arrives, and what goes wrong all come from the seed, so a run replays exactly. Every
/// plan is checked before it runs and all bookkeeping after every step, and each request draws what it would draw alone. A first phase has
/// faults; in a second one arrivals and faults stop and everything must end within a computed number of steps.
/// </summary>
internal sealed class World : IDisposable
{
    private static readonly TimeSpan StepTime = TimeSpan.FromMilliseconds(1);

    private readonly Random _random;
    private readonly SchedulerLimits _limits;
    private readonly Scheduler _scheduler;
    private readonly SimulatedExecutor _executor;
    private readonly VirtualClock _clock = new();
    private readonly FaultDice _dice;
    private readonly RequestFactory _factory;
    private readonly Dictionary<long, Request> _live = [];
    private readonly List<SequenceGroup> _ended = [];
    private readonly List<SequenceGroup> _over = []; // ended before, to be cancelled again
    private readonly BlockOrigins _origins;
    private readonly PlanCheck _planCheck;
    private readonly StateCheck _stateCheck;
    private readonly WorldStep[] _steps;
    private readonly int _fullCheckEvery;
    private WorldStep? _inFlight;
    private WorldStep? _launching;
    private bool _isDraining;

    public World(ulong seed, WorldSettings? settings = null, int fullCheckEvery = 1)
    {
        _random = new Random((int)(seed ^ (seed >> 32)));
        Settings = settings ?? WorldSettings.Of(_random);
        _limits = Settings.Limits;
        _scheduler = new Scheduler(_limits, _clock);
        _executor = new SimulatedExecutor(_limits, Settings.Vocabulary) { Spoil = SpoilsRow };
        _dice = new FaultDice(_random, Settings);
        _factory = new RequestFactory(_random, Settings, _scheduler, _clock, _dice);
        _origins = new BlockOrigins(_limits);
        _planCheck = new PlanCheck(_scheduler, _limits, _live, _factory.Keys, _origins);
        _stateCheck = new StateCheck(_scheduler, _limits, _live);
        _steps = [new WorldStep(_limits), new WorldStep(_limits)];
        _fullCheckEvery = fullCheckEvery;
    }

    public WorldSettings Settings { get; }

    public WorldTotals Totals { get; } = new();

    /// <summary>Listens to what happens; null: nobody does.</summary>
    public Story? Story { get; init; }

    public void Dispose() => _executor.Dispose();

    /// <summary>Runs both phases. Throws at the first contradiction.</summary>
    public void Run(int faultySteps)
    {
        for (int step = 0; step < faultySteps; step++)
        {
            Arrive();
            Disturb();
            Turn();
        }
        Settle();
    }

    /// <summary>Runs to the end without arrivals and faults: within a bounded number of steps, and nothing is held then.</summary>
    public void Settle()
    {
        _dice.IsOn = false;
        long bound = LivenessBound();
        for (long step = 0; !_scheduler.IsIdle || _inFlight is not null; step++)
        {
            Promise.Hold(step <= bound, $"not idle after {bound} steps without arrivals");
            Turn();
        }
        Promise.Hold(_live.Count == 0, $"{_live.Count} requests never ended");
        while (_scheduler.Pins.All.Count > 0)
            _scheduler.Pins.Release(_scheduler.Pins.All[0].Name);
        Promise.Hold(_scheduler.Blocks.Pool.UsedCount == 0 && _scheduler.Blocks.Host.UsedCount == 0,
            $"{_scheduler.Blocks.Pool.UsedCount} blocks and {_scheduler.Blocks.Host.UsedCount} host blocks are held while idle");
        _scheduler.CheckInvariants();
        Totals.Add(_scheduler, _dice);
    }

    private void Arrive()
    {
        _isDraining = _isDraining ? !_scheduler.IsIdle : _live.Count > 0 && _dice.Hits(Fault.Drain);
        if (_isDraining)
            return;
        int count = _random.NextDouble() < Settings.ArrivalRate ? 1 : 0;
        if (_dice.Hits(Fault.Burst))
            count = Settings.LiveMax;
        if (_dice.Hits(Fault.PrefixRegistered))
            Add(_factory.NextPrefix());
        if (_dice.Hits(Fault.NeverFits))
            _factory.RequireRefusal();
        for (int i = 0; i < count && _live.Count < Settings.LiveMax; i++)
            Add(_factory.Next());
    }

    private void Add(Request? request)
    {
        if (request is null)
            return;
        SequenceGroup group = request.Group;
        _live.Add(group.Arrival, request);
        _scheduler.Add(group);
        Totals.Requests++;
        Story?.Tell($"request {group.Arrival} arrives: {group.First.PromptCount} + {group.First.MaxOutputCount} tokens, {group.Width} {(group.Beams is null ? "wide" : "beams")}, priority {group.Priority}, {group.Key!.Name}");
    }

    /// <summary>Faults that come from outside.</summary>
    private void Disturb()
    {
        Cancel(Fault.CancelWaiting, static group => group.State == GroupState.Waiting);
        Cancel(Fault.CancelPrefill, static group => group.State == GroupState.Running && group.IsPrefilling);
        Cancel(Fault.CancelDecode, static group => group.State == GroupState.Running && !group.IsPrefilling);
        Cancel(Fault.CancelPreempted, static group => group.State == GroupState.Preempted);
        Cancel(Fault.CancelSwapped, static group => group.State == GroupState.Swapped);
        Cancel(Fault.CancelInFlight, static group => group.HasTokenInFlight);
        if (_over.Count > 0 && _dice.Hits(Fault.CancelTwice))
            _scheduler.Finish(_over[_random.Next(_over.Count)], FinishReason.Cancelled);
        if (_live.Count > 0 && _dice.Hits(Fault.CancelSequence))
            CancelSequence();
        if (_live.Count > 0 && _dice.Hits(Fault.CancelAll))
            foreach (Request request in _live.Values.ToArray())
                Cancel(request);
        if (_limits.PrefixCaching && _dice.Hits(Fault.CacheReset))
        {
            _scheduler.Blocks.ResetPrefixCache();
            _origins.Reset();
        }
        if (_scheduler.Pins.All.Count > 0 && _dice.Hits(Fault.PrefixReleased))
            ReleasePrefix(_scheduler.Pins.All[_random.Next(_scheduler.Pins.All.Count)]);
        _clock.Advance(_dice.Hits(Fault.ClockJump) ? TimeSpan.FromHours(1) : _dice.Hits(Fault.SlowStep) ? 100 * StepTime : StepTime);
    }

    private void Cancel(Fault fault, Func<SequenceGroup, bool> suits)
    {
        if (!Settings.Faults.ContainsKey(fault))
            return;
        Request[] candidates = [.. _live.Values.Where(request => suits(request.Group))];
        if (candidates.Length > 0 && _dice.Hits(fault))
            Cancel(candidates[_random.Next(candidates.Length)]);
    }

    /// <summary>Cancels a request, as a caller may, twice.</summary>
    public void Cancel(Request request)
    {
        Story?.Tell($"request {request.Group.Arrival} is cancelled while {request.Group.State}");
        _scheduler.Finish(request.Group, FinishReason.Cancelled);
        _scheduler.Finish(request.Group, FinishReason.Cancelled);
        request.Finish(FinishReason.Cancelled);
        TakeEnded();
    }

    private void ReleasePrefix(PinnedPrefix pin)
    {
        foreach (Request request in _live.Values)
            request.IsReleased |= request.Group.Pin == pin;
        Promise.Hold(_scheduler.Pins.Release(pin.Name) && !_scheduler.Pins.Release(pin.Name), $"{pin.Name} is released twice or never");
    }

    private void CancelSequence()
    {
        Request request = _live.Values.ElementAt(_random.Next(_live.Count));
        int index = _random.Next(request.Group.Width);
        Story?.Tell($"sequence {request.Group.Arrival}.{index} is cancelled while {request.Group.State}");
        request.Cancel(index);
        _scheduler.Finish(request.Group, index, FinishReason.Cancelled);
        TakeEnded();
    }

    /// <summary>Plans a step, launches it, and takes over the result of one: the same or, ahead of time, the one before.</summary>
    private void Turn()
    {
        WorldStep next = _steps[0] == _inFlight ? _steps[1] : _steps[0];
        _planCheck.Before();
        _scheduler.Plan(next.Plan);
        foreach (Request request in _live.Values)
            if (request.Group.Deadline <= _clock.GetTimestamp())
                request.Finish(FinishReason.DeadlineExceeded);
        TakeEnded();
        Tell(next.Plan);
        _planCheck.After(next.Plan, _inFlight?.Plan);
        _origins.Note(next.Plan);
        Totals.Count(next.Plan, _planCheck);
        WorldStep? done = Launch(next) ? next : null;
        if (Settings.IsAsync)
            (done, _inFlight) = (_inFlight, done);
        if (done is not null)
            Collect(done);
        CheckState();
    }

    private bool Launch(WorldStep step)
    {
        if (step.Plan.IsEmpty)
            return false;
        int times = step.Plan.SwapOuts.IsEmpty ? 1 : 20; // what was to be moved is then lost
        if (_dice.Hits(Fault.LaunchFails, times))
        {
            Fail(step);
            return false;
        }
        step.Fails = _dice.Hits(Fault.StepFails, times);
        step.SpoiltBlocks.Clear();
        _launching = step;
        _executor.FailNext = step.Fails;
        _executor.Launch(step.Plan);
        return true;
    }

    private bool SpoilsRow(Sequence sequence)
    {
        if (!_dice.Hits(Fault.RowFails))
            return false;
        foreach (ref readonly ScheduledSequence row in _launching!.Plan.Sequences)
            if (row.Sequence == sequence)
                for (int position = row.Start; position < row.Start + row.Count; position++)
                    _launching.SpoiltBlocks.Add(sequence.Blocks[position / _limits.BlockSize]);
        _live[sequence.Arrival].IsPoisoned = true;
        Story?.Tell($"the row of sequence {sequence.Arrival}.{sequence.Index} fails");
        return true;
    }

    private void Collect(WorldStep step)
    {
        Totals.Steps++;
        _executor.Collect(step.Plan, step.Result);
        if (step.Fails)
            Fail(step);
        else
            Commit(step);
    }

    /// <summary>Every request of the step that still lives ends with an error, and so does one that read back blocks which it moved out.</summary>
    private void Fail(WorldStep step)
    {
        Story?.Tell("the step fails");
        foreach (ref readonly ScheduledSequence row in step.Plan.Sequences)
            if (_live.TryGetValue(row.Sequence.Arrival, out Request? request))
                request.Finish(FinishReason.Error);
        foreach (SequenceGroup group in step.Plan.SwappedOut)
            if (group.State is not (GroupState.Swapped or GroupState.Finished))
                _live[group.Arrival].Finish(FinishReason.Error);
        _scheduler.Fail(step.Plan);
        TakeEnded();
    }

    private void Commit(WorldStep step)
    {
        StepPlan plan = step.Plan;
        _scheduler.Commit(plan, step.Result);
        foreach (int block in step.SpoiltBlocks)
            Promise.Hold(!_scheduler.Blocks.Pool.IsIndexed(block), $"block {block} is in the cache with what a failed row left in it");
        for (int i = 0; i < plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref plan.Sequences[i];
            bool isLive = _live.TryGetValue(row.Sequence.Arrival, out Request? request) && request.Take(row, step.Result.Tokens[i].Failed);
            Totals.DroppedRows += isLive ? 0 : 1;
            Totals.LateTokens += isLive && row.Samples && row.Sequence.Group.State is GroupState.Preempted or GroupState.Swapped ? 1 : 0;
        }
        foreach (BeamRows beams in plan.Beams)
            if (_live.TryGetValue(plan.Sequences[beams.FirstRow].Sequence.Arrival, out Request? request))
                request.TakeBeams();
        TakeEnded();
    }

    /// <summary>The requests that ended are those that had to, for the reason that they had to.</summary>
    private void TakeEnded()
    {
        _ended.Clear();
        _scheduler.TakeEnded(_ended);
        foreach (SequenceGroup group in _ended)
        {
            Promise.Hold(_live.Remove(group.Arrival, out Request? request), $"request {group.Arrival} ended twice");
            Promise.Hold(request!.End != FinishReason.None, $"request {group.Arrival} ended with {group.FinishReason} and must go on");
            request.Check();
            Totals.End(group.FinishReason);
            Story?.Tell($"request {group.Arrival} ends with {group.FinishReason}");
            _factory.Remember(group.First.Tokens);
            if (_over.Count < 20)
                _over.Add(group);
        }
    }

    private void CheckState()
    {
        foreach (Request request in _live.Values)
            request.Check();
        _stateCheck.Check();
        if (Totals.Steps % _fullCheckEvery == 0)
            _scheduler.CheckInvariants();
    }

    private void Tell(StepPlan plan)
    {
        if (Story is null || plan.IsEmpty)
            return;
        string rows = string.Join(" ", plan.Sequences.ToArray().Select(row => $"{row.Sequence.Arrival}.{row.Sequence.Index}[{row.Start}+{row.Count}{(row.Samples ? "*" : "")}]"));
        string moves = $"{plan.Copies.Length} copies, {plan.SwapOuts.Length} out, {plan.SwapIns.Length} in, {_scheduler.Blocks.Pool.FreeCount} free";
        Story.Tell($"step {Totals.Steps}: {rows}; {moves}; {_scheduler.Running.Length} run, {_scheduler.Preempted.Length} preempted, {_scheduler.Waiting.Count} wait");
    }

    /// <summary>
    /// Most steps until everything has ended: the first in the order progresses in every step, so they end at the latest one after another.
    /// Beams wait for each result before they go on, and a recomputation begins with what its sequences share.
    /// </summary>
    private long LivenessBound()
    {
        long bound = 2;
        int chunk = Math.Max(1, _limits.TokensMax - _limits.SequencesMax + 1);
        foreach (Request request in _live.Values)
        {
            Sequence first = request.Group.First;
            long tokens = (long)(first.PromptCount + first.MaxOutputCount) * request.Group.Width;
            long steps = tokens / chunk + first.MaxOutputCount + request.Group.Width + 2;
            bound += steps * (Settings.IsAsync && request.Group.Beams is not null ? 2 : 1) + (Settings.IsAsync ? 2 : 0);
        }
        return bound;
    }
}
