using Microsoft.Extensions.Logging;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine;

/// <summary>
/// The engine thread: take what came in, plan, run, commit, publish, again. It sleeps when nothing runs or waits. Nothing else touches
/// the scheduler, the sequences or the executor. An asynchronous loop launches the next step before it collects the one before, so that
/// the device never waits for the host; what a sequence that has ended computes in the step ahead is dropped.
/// </summary>
internal sealed class EngineLoop
{
    private const string RowFailure = "the model's output for this request is not a finite number, or no token was allowed";
    private const string StepFailure = "the step that computed this request failed";
    private const string SlowReader = "the events of this request were not read in time";

    private readonly IStepExecutor _executor;
    private readonly Scheduler _scheduler;
    private readonly AdmissionQueue _queue;
    private readonly StepRecorder _recorder;
    private readonly EngineHealth _health;
    private readonly ILogger _logger;
    private readonly bool _isAsync;
    private readonly Step[] _steps; // one is planned while the other may be in flight
    private readonly long _blockBytes;
    private readonly List<SequenceGroup> _arrivals = [];
    private readonly List<AdmissionQueue.Cancellation> _cancelled = [];
    private readonly List<Action<Scheduler>> _commands = [];
    private readonly List<SequenceGroup> _ended = [];
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private volatile bool _cancelAll;
    private volatile bool _exit;
    private Step? _inFlight; // launched and not collected; always null between turns of a synchronous loop
    private bool _ranSinceRest;

    public EngineLoop(
        IStepExecutor executor, SchedulerLimits limits, bool isAsync, long blockBytes, TimeProvider time, AdmissionQueue queue, StepRecorder recorder,
        EngineHealth health, ILogger logger)
    {
        _executor = executor;
        _scheduler = new Scheduler(limits, time);
        _blockBytes = blockBytes;
        _queue = queue;
        _recorder = recorder;
        _health = health;
        _logger = logger;
        _isAsync = isAsync;
        _steps = [new Step(limits), new Step(limits)];
        _thread = new Thread(Run) { Name = "NativeLM engine", IsBackground = true };
    }

    /// <summary>Completes once the queue is closed and nothing runs or waits, or the thread has ended.</summary>
    public Task Drained => _drained.Task;

    public void Start() => _thread.Start();

    /// <summary>Ends everything that runs or waits with Cancelled, from any thread.</summary>
    public void CancelAll()
    {
        _cancelAll = true;
        _queue.Wake();
    }

    /// <summary>Ends the thread and waits for it. From any thread but its own.</summary>
    public void Stop()
    {
        _exit = true;
        _queue.Wake();
        _thread.Join();
    }

    private void Run()
    {
        try
        {
            while (!_exit)
                Turn();
        }
        catch (Exception error)
        {
            Fail(error);
        }
        finally
        {
            EndEverything();
            _health.Sleep();
            _drained.TrySetResult();
        }
    }

    private void Turn()
    {
        _health.Beat();
        bool closed = Drain();
        _recorder.Begin();
        Step next = _steps[0] == _inFlight ? _steps[1] : _steps[0];
        _scheduler.Plan(next.Plan);
        if (next.Plan.IsEmpty && _inFlight is null)
        {
            ReportEnded(); // planning ends those whose deadline has passed
            Rest(closed);
            return;
        }
        _ranSinceRest = true;
        NoteStarts(next.Plan);
        Step? done = !next.Plan.IsEmpty && Launch(next.Plan) ? next : null;
        if (_isAsync)
            (done, _inFlight) = (_inFlight, done);
        if (done is not null && Collect(done))
        {
            _scheduler.Commit(done.Plan, done.Result);
            Publish(done);
            _recorder.Count(done, _scheduler, _queue);
        }
        ReportEnded();
        _scheduler.Blocks.Pool.CheckBalance();
        _recorder.Levels(_scheduler, _queue);
    }

    /// <summary>Requests in their first step are no longer queued.</summary>
    private void NoteStarts(StepPlan plan)
    {
        _recorder.Planned();
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            if (!row.IsNewInSlot || row.Sequence.Group.Generation!.Times.HasStarted)
                continue;
            SequenceGroup group = row.Sequence.Group;
            group.Generation!.CachedTokenCount = group.CachedTokenCount;
            _recorder.Started(group.Generation);
            _queue.Leave(group);
        }
    }

    /// <summary>
    /// Takes arrivals, then cancellations, then commands: a request is known before it can be cancelled. Returns whether the queue is closed.
    /// </summary>
    private bool Drain()
    {
        bool closed = _queue.Drain(_arrivals, _cancelled, _commands);
        foreach (SequenceGroup group in _arrivals)
            Add(group);
        foreach ((SequenceGroup group, int index) in _cancelled)
            Cancel(group, index);
        foreach (Action<Scheduler> command in _commands)
            command(_scheduler);
        _arrivals.Clear();
        _cancelled.Clear();
        _commands.Clear();
        while (_cancelAll && _scheduler.Oldest is SequenceGroup group)
            End(group, FinishReason.Cancelled);
        ReportEnded();
        return closed;
    }

    /// <summary>What was possible when a request was checked may no longer be: a prefix was registered meanwhile.</summary>
    private void Add(SequenceGroup group)
    {
        if (_scheduler.Refusal(group) is not string refusal)
        {
            _scheduler.Add(group);
            return;
        }
        group.State = GroupState.Finished;
        group.FinishReason = FinishReason.Error;
        group.Message = refusal;
        Report(group);
    }

    private void Cancel(SequenceGroup group, int index)
    {
        if (index == Generation.AllSequences)
        {
            End(group, FinishReason.Cancelled);
            return;
        }
        _scheduler.Finish(group, index, FinishReason.Cancelled);
        bool lives = group.State == GroupState.Finished || group.AwaitsForks || group.Beams is not null;
        foreach (Sequence sequence in group.Live)
            lives |= sequence.Index == index;
        if (!lives && !group.Generation!.HasEndEvent(index))
            PublishToken(group, LastEvent(index, FinishReason.Cancelled, null));
    }

    /// <summary>Nothing to do: checks that nothing is held, and sleeps until something comes in.</summary>
    private void Rest(bool closed)
    {
        _recorder.Levels(_scheduler, _queue);
        if (_ranSinceRest)
        {
            _scheduler.CheckInvariants();
            _ranSinceRest = false;
        }
        if (closed)
            _drained.TrySetResult();
        _health.Sleep();
        if (!_exit) // set before the wake that Drain may have taken
            _queue.Wait();
    }

    /// <summary>Starts a step. A failure ends the requests of this step; a lost device ends the engine.</summary>
    private bool Launch(StepPlan plan)
    {
        try
        {
            _executor.Launch(plan);
            return true;
        }
        catch (Exception error) when (!StepFailures.IsFatal(error))
        {
            EndFailedStep(plan, error);
            return false;
        }
    }

    /// <summary>Waits for a step and reads what it drew. Failures as in <see cref="Launch"/>.</summary>
    private bool Collect(Step step)
    {
        step.Result.Tokens[..step.Plan.Sequences.Length].Fill(new SampledToken { Token = -1 });
        try
        {
            _executor.Collect(step.Plan, step.Result);
            _recorder.Computed();
            return true;
        }
        catch (Exception error) when (!StepFailures.IsFatal(error))
        {
            EndFailedStep(step.Plan, error);
            return false;
        }
    }

    private void EndFailedStep(StepPlan plan, Exception error)
    {
        EngineLog.StepFailed(_logger, error, plan.Sequences.Length);
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            row.Sequence.Group.Message ??= StepFailure;
        _scheduler.Fail(plan);
    }

    /// <summary>Writes what the step drew to the readers. Beams are reported when they are done.</summary>
    private void Publish(Step step)
    {
        for (int i = 0; i < step.Plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref step.Plan.Sequences[i];
            Sequence sequence = row.Sequence;
            Generation generation = sequence.Group.Generation!;
            if (generation.HasEnded || (!row.IsBeam && generation.HasEndEvent(sequence.Index)))
                _recorder.DroppedRow(); // it ended while this row was in flight
            else if (row.IsBeam)
                _recorder.Token(generation);
            else if (sequence.Group.FinishReason == FinishReason.Error)
                continue; // all of it is told by ReportEnded
            else if (row.Samples && sequence.FinishReason is FinishReason.None or FinishReason.Stop or FinishReason.Length)
                PublishDrawn(sequence, step.Result.Tokens[i]);
            else if (sequence.FinishReason == FinishReason.Cancelled && sequence.Group.State != GroupState.Finished)
                PublishToken(sequence.Group, LastEvent(sequence.Index, FinishReason.Cancelled, null));
        }
    }

    private void PublishDrawn(Sequence sequence, in SampledToken sampled)
    {
        bool stopped = sequence.FinishReason == FinishReason.Stop;
        _recorder.Token(sequence.Group.Generation!);
        PublishToken(sequence.Group, new TokenEvent
        {
            Index = sequence.Index,
            TokenId = stopped ? -1 : sampled.Token,
            StopTokenId = stopped ? sampled.Token : -1,
            Logprob = sampled.Logprob,
            Rank = sampled.Rank,
            TopLogprobs = sampled.TopLogprobs,
            PromptLogprobs = sequence.OutputCount == 1 ? sequence.PromptLogprobs : null,
            FinishReason = sequence.FinishReason,
        });
    }

    private void PublishToken(SequenceGroup group, in TokenEvent token)
    {
        if (group.State == GroupState.Finished)
            group.Generation!.PublishLast(token);
        else if (!group.Generation!.Publish(token))
            EndSlowReader(group);
    }

    private void EndSlowReader(SequenceGroup group)
    {
        EngineLog.SlowReader(_logger, group.Generation!.Id, Generation.UnreadEventsMax);
        _recorder.SlowReader();
        group.Message = SlowReader;
        End(group, FinishReason.Cancelled);
    }

    /// <summary>Ends a request between steps, unless it has ended.</summary>
    private void End(SequenceGroup group, FinishReason reason) => _scheduler.Finish(group, reason);

    /// <summary>Tells the readers of requests that ended, for whatever reason.</summary>
    private void ReportEnded()
    {
        _scheduler.TakeEnded(_ended);
        foreach (SequenceGroup group in _ended)
            Report(group);
        _ended.Clear();
    }

    private void Report(SequenceGroup group)
    {
        Generation generation = group.Generation!;
        if (group.FinishReason == FinishReason.Error && group.Message is null)
        {
            group.Message = RowFailure;
            EngineLog.RowFailed(_logger, generation.Id);
            _recorder.FailedRow();
        }
        if (group.Beams is not null && group.FinishReason == FinishReason.Stop)
            BeamReport.Publish(group.Beams, generation);
        for (int index = 0; index < generation.SequenceCount; index++)
            if (!generation.HasEndEvent(index))
                generation.PublishLast(LastEvent(index, group.FinishReason, group.Message));
        generation.Sharing = group.Sharing?.Report(_blockBytes);
        _recorder.Ended(generation, group.FinishReason);
        if (!generation.Times.HasStarted)
            _queue.Leave(group);
        generation.End();
    }

    private static TokenEvent LastEvent(int index, FinishReason reason, string? message) =>
        new() { Index = index, TokenId = -1, StopTokenId = -1, FinishReason = reason, Error = message };

    private void Fail(Exception error)
    {
        EngineLog.Failed(_logger, error);
        if (error is InvariantException)
            _recorder.InvariantFailure();
        _health.Fail(error.Message);
    }

    /// <summary>Someone may wait for a command. If the bookkeeping is broken, it may throw, and that must not end the process.</summary>
    private void RunLast(Action<Scheduler> command)
    {
        try
        {
            command(_scheduler);
        }
        catch (Exception error)
        {
            EngineLog.Failed(_logger, error);
        }
    }

    /// <summary>The thread ends: whoever is still here gets a last event. The bookkeeping may be broken, so it is only read.</summary>
    private void EndEverything()
    {
        _queue.Close();
        _queue.Drain(_arrivals, _cancelled, _commands);
        foreach (Action<Scheduler> command in _commands)
            RunLast(command);
        List<SequenceGroup> left = [.. _scheduler.Running, .. _scheduler.Preempted, .. _arrivals, .. _ended];
        _scheduler.TakeEnded(left);
        foreach (KeyQueue key in _scheduler.Waiting.Active)
            left.AddRange(key.Waiting);
        foreach (Step step in _steps)
            foreach (ref readonly ScheduledSequence row in step.Plan.Sequences)
                left.Add(row.Sequence.Group);
        foreach (SequenceGroup group in left)
        {
            if (group.Generation!.HasEnded)
                continue;
            group.FinishReason = _health.Failure is null ? FinishReason.Cancelled : FinishReason.Error;
            group.Message = _health.Failure is null ? null : "the engine failed";
            Report(group);
        }
    }
}
