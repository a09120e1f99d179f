namespace NativeLM.Simulation;

/// <summary>Time that moves only when a step is paid for. Counts nanoseconds from 0; timers do not exist in it.</summary>
internal sealed class SimClock : TimeProvider
{
    private const long PerSecond = 1_000_000_000;
    private long _now;

    /// <summary>Seconds since the start.</summary>
    public double Seconds => _now / (double)PerSecond;

    public override long TimestampFrequency => PerSecond;

    public override long GetTimestamp() => _now;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(_now / (PerSecond / TimeSpan.TicksPerSecond));

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        throw new NotSupportedException("a simulated clock has no timers: whatever waits for one would read wall time");

    /// <summary>Lets time pass.</summary>
    public void Advance(double seconds) => _now = checked(_now + (long)Math.Round(seconds * PerSecond));

    /// <summary>Moves on to a time, given in seconds, that has not passed.</summary>
    public void AdvanceTo(double seconds) => _now = Math.Max(_now, (long)Math.Ceiling(seconds * PerSecond));
}
