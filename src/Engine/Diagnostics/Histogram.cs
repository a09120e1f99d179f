namespace NativeLM.Engine.Diagnostics;

/// <summary>
/// Observations counted in fixed buckets. Written by one thread, read by any without a lock: a reader may see a bucket one
/// observation ahead of the sum, never a count that shrinks.
/// </summary>
public sealed class Histogram : Metric
{
    private readonly double[] _bounds;
    private readonly long[] _counts; // one more than bounds: the last holds what exceeds them all
    private double _sum;

    internal Histogram(string name, string help, double[] bounds) : base(name, help, null, null)
    {
        _bounds = bounds;
        _counts = new long[bounds.Length + 1];
    }

    /// <summary>Upper bounds of the buckets, inclusive and ascending; a last bucket without bound follows.</summary>
    public ReadOnlySpan<double> Bounds => _bounds;

    /// <summary>Sum of all observations.</summary>
    public double Sum => Volatile.Read(ref _sum);

    /// <summary>Copies the count of each bucket (not cumulative) into a span of Bounds.Length + 1.</summary>
    public void CopyCounts(Span<long> counts)
    {
        for (int i = 0; i < _counts.Length; i++)
            counts[i] = Volatile.Read(ref _counts[i]);
    }

    /// <summary>Number of observations.</summary>
    public long Count
    {
        get
        {
            long total = 0;
            for (int i = 0; i < _counts.Length; i++)
                total += Volatile.Read(ref _counts[i]);
            return total;
        }
    }

    internal void Observe(double value) => Observe(value, 1);

    /// <summary>Counts the same value several times.</summary>
    internal void Observe(double value, int times)
    {
        int bucket = 0;
        while (bucket < _bounds.Length && value > _bounds[bucket])
            bucket++;
        Volatile.Write(ref _counts[bucket], _counts[bucket] + times);
        Volatile.Write(ref _sum, _sum + value * times);
    }
}
