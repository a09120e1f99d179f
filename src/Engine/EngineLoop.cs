using Microsoft.Extensions.Logging;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine;

/// <summary>
/// The engine thread: take what came in, plan, run, commit, publish, again. It sleeps when nothing runs or waits. Nothing else touches
/// the scheduler, the sequences or the executor.
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
    private readonly StepPlan _plan;
    private readonly StepResult _result;
    private readonly List<Sequence> _arrivals = [];
    private readonly List<Sequence> _cancelled = [];
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private volatile bool _cancelAll;
    private volatile bool _exit;
    private bool _ranSinceRest;

    public EngineLoop(
        IStepExecutor executor, SchedulerLimits limits, AdmissionQueue queue, StepRecorder recorder, EngineHealth health, ILogger logger)
    {
        _executor = executor;
        _scheduler = new Scheduler(limits);
        _queue = queue;
        _recorder = recorder;
        _health = health;
        _logger = logger;
        _plan = new StepPlan(limits.SequencesMax, copiesMax: 0);
        _result = new StepResult(limits.SequencesMax);
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
        _scheduler.Plan(_plan);
        if (_plan.IsEmpty)
        {
            Rest(closed);
            return;
        }
        _ranSinceRest = true;
        NoteStarts();
        if (Compute())
        {
            _scheduler.Commit(_plan, _result);
            Publish();
        }
        _scheduler.Pool.CheckBalance();
        _recorder.End(_plan, _scheduler, _queue);
    }

    /// <summary>Requests in their first step are no longer queued.</summary>
    private void NoteStarts()
    {
        _recorder.Planned();
        foreach (ref readonly ScheduledSequence row in _plan.Sequences)
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

    /// <summary>Runs the plan. A failure ends the requests of this step; a lost device ends the engine.</summary>
    private bool Compute()
    {
        int rows = _plan.Sequences.Length;
        _result.Tokens[..rows].Fill(new SampledToken { Token = -1 });
        try
        {
            _executor.Run(_plan, _result);
            _recorder.Computed();
            return true;
        }
        catch (Exception error) when (!StepFailures.IsFatal(error))
        {
            EngineLog.StepFailed(_logger, error, rows);
            foreach (ref readonly ScheduledSequence row in _plan.Sequences)
                End(row.Sequence, FinishReason.Error, StepFailure);
            return false;
        }
    }

    /// <summary>Writes what the step drew to the readers.</summary>
    private void Publish()
    {
        for (int i = 0; i < _plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref _plan.Sequences[i];
            ref readonly SampledToken sampled = ref _result.Tokens[i];
            Sequence sequence = row.Sequence;
            if (sequence.FinishReason == FinishReason.Error)
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
        generation.End(last);
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
        foreach (ref readonly ScheduledSequence row in _plan.Sequences)
            left.Add(row.Sequence);
        foreach (Sequence sequence in left)
            if (!sequence.Generation!.HasEnded)
                Report(sequence.Generation, last);
    }
}
