namespace NativeLM.Tests.Worlds;

/// <summary>A clock that stands still until it is told to go on.</summary>
internal sealed class VirtualClock : TimeProvider
{
    private long _now = TimeSpan.TicksPerHour;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _now;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(_now);

    public void Advance(TimeSpan duration) => _now += duration.Ticks;
}
