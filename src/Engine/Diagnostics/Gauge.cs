namespace NativeLM.Engine.Diagnostics;

/// <summary>A value that goes up and down. Written by one thread, read by any.</summary>
public sealed class Gauge : Metric
{
    private readonly Func<double>? _read;
    private double _value;

    internal Gauge(string name, string help) : base(name, help, null, null)
    {
    }

    /// <summary>A gauge computed when it is read.</summary>
    internal Gauge(string name, string help, Func<double> read) : this(name, help) => _read = read;

    /// <summary>The value now.</summary>
    public double Value => _read?.Invoke() ?? Volatile.Read(ref _value);

    internal void Set(double value) => Volatile.Write(ref _value, value);
}
