namespace NativeLM.Simulation.Traces;

/// <summary>
/// Where the requests of a run come from: a fitted distribution, or a trace. Two runs with the same seed draw the same lengths in the same order and
/// the same unit gaps, only scaled by the rate (common random numbers), so that a search for a rate compares like with like.
/// </summary>
internal abstract class Workload
{
    /// <summary>Name in tables.</summary>
    public abstract string Name { get; }

    /// <summary>Where the lengths come from, in words.</summary>
    public abstract string Origin { get; }

    /// <summary>Poisson arrivals at a rate for a time. <paramref name="rate"/> in requests/s, <paramref name="duration"/> in s.</summary>
    public abstract IReadOnlyList<TraceRequest> Poisson(double rate, double duration, ulong seed);

    /// <summary>The trace's own arrivals, at <paramref name="rateScale"/> times their rate; null if it has none.</summary>
    public virtual IReadOnlyList<TraceRequest>? Recorded(double rateScale, double duration) => null;

    /// <summary>Gives arrivals to an endless stream of requests.</summary>
    protected static IReadOnlyList<TraceRequest> Arrive(IEnumerator<TraceRequest> lengths, double rate, double duration, ulong seed)
    {
        SimRandom gaps = new(seed ^ 0xA5A5_0001);
        List<TraceRequest> requests = new((int)Math.Min(rate * duration * 1.1 + 16, TraceReader.RowsMax));
        double time = 0;
        while ((time += gaps.NextExponential() / rate) < duration && requests.Count < TraceReader.RowsMax)
        {
            lengths.MoveNext();
            requests.Add(lengths.Current with { Arrival = time });
        }
        return requests;
    }
}
