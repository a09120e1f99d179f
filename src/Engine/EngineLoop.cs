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
    private readonly List<Sequence> _arrivals = [];
    private readonly List<Sequence> _cancelled = [];
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private volatile bool _cancelAll;
    private volatile bool _exit;
    private Step? _inFlight; // launched and not collected; always null between turns of a synchronous loop
    private bool _ranSinceRest;

    public EngineLoop(
        IStepExecutor executor, SchedulerLimits limits, bool isAsync, AdmissionQueue queue, StepRecorder recorder, EngineHealth health,
        ILogger logger)
    {
        _executor = executor;
        _scheduler = new Scheduler(limits);
        _queue = queue;
        _recorder = recorder;
        _health = health;
        _logger = logger;
        _isAsync = isAsync;
        _steps = [new Step(limits.SequencesMax), new Step(limits.SequencesMax)];
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
        _scheduler.Pool.CheckBalance();
        _recorder.Levels(_scheduler, _queue);
    }

    /// <summary>Requests in their first step are no longer queued.</summary>
    private void NoteStarts(StepPlan plan)
    {
        _recorder.Planned();
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
        {
            if (!row.IsNewInSlot || row.Sequence.Generation!.Times.HasStarted)
                continue;
            _recorder.Started(row.Sequence.Generation);
            _queue.Leave(row.Sequence.PromptCount);
        }
    }

    /// <summary>Takes arrivals, then cancellations: a request is known before it can be cancelled. Returns whether the queue is closed.</summary>
    private bool Drain()
    {
        bool closed = _queue.Drain(_arrivals, _cancelled);
        foreach (Sequence sequence in _arrivals)
            _scheduler.Add(sequence);
        foreach (Sequence sequence in _cancelled)
            End(sequence, FinishReason.Cancelled);
        _arrivals.Clear();
        _cancelled.Clear();
        while (_cancelAll && _scheduler.Oldest is Sequence sequence)
            End(sequence, FinishReason.Cancelled);
        return closed;
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
            End(row.Sequence, FinishReason.Error, StepFailure);
    }

    /// <summary>Writes what the step drew to the readers.</summary>
    private void Publish(Step step)
    {
        for (int i = 0; i < step.Plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref step.Plan.Sequences[i];
            ref readonly SampledToken sampled = ref step.Result.Tokens[i];
            Sequence sequence = row.Sequence;
            if (sequence.Generation!.HasEnded)
                _recorder.DroppedRow(); // it ended while this row was in flight
            else if (sequence.FinishReason == FinishReason.Error)
                EndFailedRow(sequence);
            else if (row.Samples)
                PublishToken(sequence, sampled);
        }
    }

    private void PublishToken(Sequence sequence, in SampledToken sampled)
    {
        Generation generation = sequence.Generation!;
        bool stopped = sequence.FinishReason == FinishReason.Stop;
        TokenEvent token = new()
        {
            TokenId = stopped ? -1 : sampled.Token,
            StopTokenId = stopped ? sampled.Token : -1,
            Logprob = sampled.Logprob,
            Rank = sampled.Rank,
            TopLogprobs = sampled.TopLogprobs,
            PromptLogprobs = sequence.OutputCount == 1 ? sequence.PromptLogprobs : null,
            FinishReason = sequence.FinishReason,
        };
        _recorder.Token(generation);
        if (token.FinishReason != FinishReason.None)
            Report(generation, token);
        else if (!generation.Publish(token))
            EndSlowReader(sequence);
    }

    private void EndFailedRow(Sequence sequence)
    {
        EngineLog.RowFailed(_logger, sequence.Generation!.Id);
        _recorder.FailedRow();
        Report(sequence.Generation, LastEvent(FinishReason.Error, RowFailure));
    }

    private void EndSlowReader(Sequence sequence)
    {
        EngineLog.SlowReader(_logger, sequence.Generation!.Id, Generation.UnreadEventsMax);
        _recorder.SlowReader();
        End(sequence, FinishReason.Cancelled, SlowReader);
    }

    /// <summary>Ends a sequence between steps, unless it has ended.</summary>
    private void End(Sequence sequence, FinishReason reason, string? message = null)
    {
        if (sequence.State == SequenceState.Finished)
            return;
        _scheduler.Finish(sequence, reason);
        Report(sequence.Generation!, LastEvent(reason, message));
    }

    private void Report(Generation generation, in TokenEvent last)
    {
        _recorder.Ended(generation, last.FinishReason);
        if (!generation.Times.HasStarted)
            _queue.Leave(generation.PromptTokenCount);
        generation.End([last]);
    }

    private static TokenEvent LastEvent(FinishReason reason, string? message) =>
        new() { TokenId = -1, StopTokenId = -1, FinishReason = reason, Error = message };

    private void Fail(Exception error)
    {
        EngineLog.Failed(_logger, error);
        if (error is InvariantException)
            _recorder.InvariantFailure();
        _health.Fail(error.Message);
    }

    /// <summary>The thread ends: whoever is still here gets a last event. The bookkeeping may be broken, so it is only read.</summary>
    private void EndEverything()
    {
        _queue.Close();
        _queue.Drain(_arrivals, _cancelled);
        TokenEvent last = _health.Failure is null ? LastEvent(FinishReason.Cancelled, null) : LastEvent(FinishReason.Error, "the engine failed");
        List<Sequence> left = [.. _scheduler.Running, .. _scheduler.Waiting, .. _arrivals];
        foreach (Step step in _steps)
            foreach (ref readonly ScheduledSequence row in step.Plan.Sequences)
                left.Add(row.Sequence);
        foreach (Sequence sequence in left)
            if (!sequence.Generation!.HasEnded)
                Report(sequence.Generation, last);
    }
}
