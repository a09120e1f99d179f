using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// The only way into the engine thread: requests come in here, bounded at arrival, and so do cancellations. Any thread enters and
/// cancels; the engine thread drains. A request counts as queued from its arrival to its first step.
/// </summary>
internal sealed class AdmissionQueue(int requestsMax, long tokensMax)
{
    private static readonly TimeSpan RetryMin = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(60);

    private readonly object _gate = new();
    private readonly List<Sequence> _arrivals = [];
    private readonly List<Sequence> _cancelled = []; // bounded: a generation is cancelled once
    private long _nextArrival;
    private int _queuedRequests;
    private long _queuedTokens;
    private bool _closed;
    private bool _hasNews;
    private double _tokensPerSecond;

    /// <summary>Requests that have not had their first step.</summary>
    public int QueuedRequests => Volatile.Read(ref _queuedRequests);

    /// <summary>Their prompt tokens.</summary>
    public long QueuedTokens => Volatile.Read(ref _queuedTokens);

    /// <summary>
    /// Numbers a request and hands it to the engine thread. Throws QueueFull at a bound; an empty queue takes a request of any
    /// size, or one larger than the token bound could never run.
    /// </summary>
    public void Enter(int promptCount, Func<long, Sequence> create)
    {
        lock (_gate)
        {
            if (_closed)
                throw new RequestRejectedException(RejectionKind.Unavailable, "the engine is shutting down or has failed");
            if (_queuedRequests >= requestsMax)
                throw Full($"{_queuedRequests} requests are waiting, the limit is {requestsMax}");
            if (_queuedRequests > 0 && _queuedTokens + promptCount > tokensMax)
                throw Full($"{_queuedTokens} prompt tokens are waiting and this request adds {promptCount}, the limit is {tokensMax}");
            _arrivals.Add(create(_nextArrival++));
            _queuedRequests++;
            _queuedTokens += promptCount;
            News();
        }
    }

    /// <summary>Asks the engine thread to end a sequence.</summary>
    public void Cancel(Sequence sequence)
    {
        lock (_gate)
        {
            _cancelled.Add(sequence);
            News();
        }
    }

    /// <summary>Moves what came in since the last call. Returns whether nothing can come in after it. Engine thread only.</summary>
    public bool Drain(List<Sequence> arrivals, List<Sequence> cancelled)
    {
        lock (_gate)
        {
            arrivals.AddRange(_arrivals);
            cancelled.AddRange(_cancelled);
            _arrivals.Clear();
            _cancelled.Clear();
            _hasNews = false;
            return _closed;
        }
    }

    /// <summary>A request had its first step or ended without one. Engine thread only.</summary>
    public void Leave(int promptCount)
    {
        lock (_gate)
        {
            _queuedRequests--;
            _queuedTokens -= promptCount;
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

    /// <summary>Corrects the measured rate by which <see cref="RejectionKind.QueueFull"/> predicts when to try again. Engine thread only.</summary>
    public void ObserveStep(int tokens, TimeSpan duration)
    {
        if (duration <= TimeSpan.Zero)
            return;
        double rate = tokens / duration.TotalSeconds;
        double known = Volatile.Read(ref _tokensPerSecond);
        Volatile.Write(ref _tokensPerSecond, known == 0 ? rate : known + 0.05 * (rate - known));
    }

    private void News()
    {
        _hasNews = true;
        Monitor.Pulse(_gate);
    }

    private RequestRejectedException Full(string found)
    {
        double rate = Volatile.Read(ref _tokensPerSecond);
        TimeSpan retry = rate == 0 ? RetryMin : TimeSpan.FromSeconds(Math.Clamp(_queuedTokens / rate, RetryMin.TotalSeconds, RetryMax.TotalSeconds));
        return new RequestRejectedException(RejectionKind.QueueFull, $"{found}; try again in {Math.Ceiling(retry.TotalSeconds):0} s", retryAfter: retry);
    }
}
