using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>What is asked of the queue for one request.</summary>
/// <param name="PromptCount">Tokens of its prompt.</param>
/// <param name="Width">Sequences it runs: it counts as that many requests.</param>
/// <param name="Key">Whose it is.</param>
/// <param name="Deadline">Time it has; null: any.</param>
internal readonly record struct Admission(int PromptCount, int Width, KeyQueue Key, TimeSpan? Deadline);

/// <summary>
/// The only way into the engine thread: requests come in here, bounded at arrival, and so do cancellations and commands. Any thread enters
/// and cancels; the engine thread drains. A request counts as queued from its arrival to its first step.
/// </summary>
internal sealed class AdmissionQueue(int requestsMax, long tokensMax, int? requestsPerKeyMax = null)
{
    private static readonly TimeSpan RetryMin = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(60);

    private readonly object _gate = new();
    private readonly List<SequenceGroup> _arrivals = [];
    private readonly List<Cancellation> _cancelled = []; // bounded: a request is cancelled once, and so is each of its sequences
    private readonly List<Action<Scheduler>> _commands = [];
    private long _nextArrival;
    private int _queuedRequests;
    private long _queuedTokens;
    private bool _closed;
    private bool _hasNews;
    private double _tokensPerSecond;

    /// <summary>What is to be ended: a request, or one of its sequences.</summary>
    public readonly record struct Cancellation(SequenceGroup Group, int Index);

    /// <summary>Requests that have not had their first step.</summary>
    public int QueuedRequests => Volatile.Read(ref _queuedRequests);

    /// <summary>Their prompt tokens.</summary>
    public long QueuedTokens => Volatile.Read(ref _queuedTokens);

    /// <summary>True once a second key was seen: then a key may fill only half of the queue unless another bound is set.</summary>
    public bool HasSeveralKeys { get; set; }

    /// <summary>
    /// Numbers a request and hands it to the engine thread. Throws QueueFull, KeyQueueFull or DeadlineUnreachable; an empty queue takes a
    /// request of any size, or one larger than the bounds could never run.
    /// </summary>
    public void Enter(in Admission asked, Func<long, SequenceGroup> create)
    {
        lock (_gate)
        {
            if (_closed)
                throw new RequestRejectedException(RejectionKind.Unavailable, "the engine is shutting down or has failed");
            CheckBounds(asked);
            _arrivals.Add(create(_nextArrival++));
            _queuedRequests += asked.Width;
            _queuedTokens += asked.PromptCount;
            asked.Key.QueuedCount += asked.Width;
            News();
        }
    }

    /// <summary>Asks the engine thread to end a request, or one sequence of it.</summary>
    public void Cancel(SequenceGroup group, int index)
    {
        lock (_gate)
        {
            _cancelled.Add(new Cancellation(group, index));
            News();
        }
    }

    /// <summary>Runs something on the engine thread between two steps. False if the engine is shutting down.</summary>
    public bool Post(Action<Scheduler> command)
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            _commands.Add(command);
            News();
            return true;
        }
    }

    /// <summary>Moves what came in since the last call. Returns whether nothing can come in after it. Engine thread only.</summary>
    public bool Drain(List<SequenceGroup> arrivals, List<Cancellation> cancelled, List<Action<Scheduler>> commands)
    {
        lock (_gate)
        {
            arrivals.AddRange(_arrivals);
            cancelled.AddRange(_cancelled);
            commands.AddRange(_commands);
            _arrivals.Clear();
            _cancelled.Clear();
            _commands.Clear();
            _hasNews = false;
            return _closed;
        }
    }

    /// <summary>A request had its first step or ended without one. Engine thread only.</summary>
    public void Leave(SequenceGroup group)
    {
        lock (_gate)
        {
            _queuedRequests -= group.Width;
            _queuedTokens -= group.First.PromptCount;
            group.Key!.QueuedCount -= group.Width;
        }
    }

    /// <summary>Refuses everything from now on. What entered before is still drained.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            News();
        }
    }

    /// <summary>Sleeps until something has come in since the last <see cref="Drain"/>. Engine thread only.</summary>
    public void Wait()
    {
        lock (_gate)
            while (!_hasNews)
                Monitor.Wait(_gate);
    }

    /// <summary>Wakes the engine thread.</summary>
    public void Wake()
    {
        lock (_gate)
            News();
    }

    /// <summary>Corrects the measured rate by which refusals predict when to try again. Engine thread only.</summary>
    public void ObserveStep(int tokens, TimeSpan duration)
    {
        if (duration <= TimeSpan.Zero)
            return;
        double rate = tokens / duration.TotalSeconds;
        double known = Volatile.Read(ref _tokensPerSecond);
        Volatile.Write(ref _tokensPerSecond, known == 0 ? rate : known + 0.05 * (rate - known));
    }

    private void CheckBounds(in Admission asked)
    {
        if (_queuedRequests == 0)
            return;
        if (_queuedRequests + asked.Width > requestsMax)
            throw Full(RejectionKind.QueueFull, $"{_queuedRequests} requests are waiting and this one counts as {asked.Width}, the limit is {requestsMax}");
        if (_queuedTokens + asked.PromptCount > tokensMax)
            throw Full(RejectionKind.QueueFull,
                $"{_queuedTokens} prompt tokens are waiting and this request adds {asked.PromptCount}, the limit is {tokensMax}");
        int perKey = requestsPerKeyMax ?? (HasSeveralKeys ? Math.Max(1, requestsMax / 2) : requestsMax);
        if (asked.Key.QueuedCount > 0 && asked.Key.QueuedCount + asked.Width > perKey)
            throw Full(RejectionKind.KeyQueueFull,
                $"{asked.Key.QueuedCount} requests of this key are waiting and this one counts as {asked.Width}, the limit per key is {perKey}");
        if (asked.Deadline is TimeSpan deadline && Wait(_queuedTokens) is TimeSpan wait && wait > deadline)
            throw Full(RejectionKind.DeadlineUnreachable,
                $"{_queuedTokens} prompt tokens are waiting, which takes about {wait.TotalMilliseconds:0} ms; the deadline is {deadline.TotalMilliseconds:0} ms");
    }

    /// <summary>How long so many tokens take, or null before anything was measured.</summary>
    private TimeSpan? Wait(long tokens)
    {
        double rate = Volatile.Read(ref _tokensPerSecond);
        return rate == 0 ? null : TimeSpan.FromSeconds(Math.Min(tokens / rate, TimeSpan.FromDays(1).TotalSeconds));
    }

    private void News()
    {
        _hasNews = true;
        Monitor.Pulse(_gate);
    }

    private RequestRejectedException Full(RejectionKind kind, string found)
    {
        TimeSpan retry = Wait(_queuedTokens) is TimeSpan wait ? TimeSpan.FromSeconds(Math.Clamp(wait.TotalSeconds, RetryMin.TotalSeconds, RetryMax.TotalSeconds)) : RetryMin;
        return new RequestRejectedException(kind, $"{found}; try again in {Math.Ceiling(retry.TotalSeconds):0} s", retryAfter: retry);
    }
}
