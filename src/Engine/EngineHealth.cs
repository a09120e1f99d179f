namespace NativeLM.Engine;

/// <summary>Whether an engine takes requests.</summary>
public enum EngineState
{
    /// <summary>It does.</summary>
    Ready,
    /// <summary>Shutting down: what runs may finish, nothing new is taken.</summary>
    Draining,
    /// <summary>Stopped in order.</summary>
    Stopped,
    /// <summary>The device is lost or an invariant broke; only a new process helps.</summary>
    Failed,
}

/// <summary>Readiness and the watchdog of the engine thread. Safe to read from any thread.</summary>
public sealed class EngineHealth
{
    private const long Idle = long.MinValue;

    // A first prefill of a large model on a small machine takes long and is no fault, hence the generous floor.
    private static readonly TimeSpan StallFloor = TimeSpan.FromSeconds(30);

    private readonly TimeProvider _time;
    private int _state;
    private string? _failure;
    private long _busySince = Idle;
    private long _longestStepTicks;

    internal EngineHealth(TimeProvider time) => _time = time;

    /// <summary>Whether requests are taken.</summary>
    public EngineState State => (EngineState)Volatile.Read(ref _state);

    /// <summary>Why the engine failed, or null.</summary>
    public string? Failure => Volatile.Read(ref _failure);

    /// <summary>Time since the engine thread last made progress; zero while it sleeps because there is nothing to do.</summary>
    public TimeSpan WatchdogAge
    {
        get
        {
            long since = Volatile.Read(ref _busySince);
            return since == Idle ? TimeSpan.Zero : _time.GetElapsedTime(since);
        }
    }

    /// <summary>True if a step has taken more than 30 s and more than ten times the longest step so far.</summary>
    public bool IsStalled => WatchdogAge > TimeSpan.FromTicks(Math.Max(StallFloor.Ticks, 10 * Volatile.Read(ref _longestStepTicks)));

    /// <summary>Ready and not stalled.</summary>
    public bool IsReady => State == EngineState.Ready && !IsStalled;

    /// <summary>The engine thread starts a turn. Engine thread only.</summary>
    internal void Beat() => Volatile.Write(ref _busySince, _time.GetTimestamp());

    /// <summary>The engine thread goes to sleep. Engine thread only.</summary>
    internal void Sleep() => Volatile.Write(ref _busySince, Idle);

    /// <summary>A step took this long. Engine thread only.</summary>
    internal void ObserveStep(TimeSpan duration)
    {
        if (duration.Ticks > _longestStepTicks)
            Volatile.Write(ref _longestStepTicks, duration.Ticks);
    }

    /// <summary>Ready to Draining; later states stay.</summary>
    internal void Drain() => Interlocked.CompareExchange(ref _state, (int)EngineState.Draining, (int)EngineState.Ready);

    /// <summary>Stopped, unless the engine failed before.</summary>
    internal void Stop()
    {
        Drain();
        Interlocked.CompareExchange(ref _state, (int)EngineState.Stopped, (int)EngineState.Draining);
    }

    internal void Fail(string reason)
    {
        Volatile.Write(ref _failure, reason);
        Volatile.Write(ref _state, (int)EngineState.Failed);
    }
}
