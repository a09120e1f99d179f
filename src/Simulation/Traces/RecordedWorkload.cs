namespace NativeLM.Simulation.Traces;

/// <summary>A trace from a file: with its own arrivals, or its rows drawn in random order with Poisson arrivals.</summary>
internal sealed class RecordedWorkload : Workload
{
    private readonly Trace _trace;
    private readonly TraceRequest[] _rows;

    /// <param name="path">For names and messages.</param>
    /// <param name="trace">What was read from it.</param>
    /// <param name="contextMax">Longest prompt and output together that the model takes; longer rows are left out and counted.</param>
    /// <param name="lengthMax">Longest prompt and longest output; longer rows are left out and counted.</param>
    public RecordedWorkload(string path, Trace trace, int contextMax, int lengthMax = int.MaxValue)
    {
        Name = Path.GetFileName(path);
        _trace = trace;
        _rows = [.. trace.Requests.Where(r => r.Total <= contextMax && r.Input <= lengthMax && r.Output <= lengthMax)
            .Select(static r => r with { Output = Math.Max(1, r.Output) })];
        LeftOut = trace.Requests.Count - _rows.Length;
        if (_rows.Length == 0)
            throw new InvalidDataException(trace.Requests.Count == 0 ? $"{path}: found no rows, needed at least one"
                : $"{path}: none of {trace.Requests.Count} rows has at most {contextMax} tokens of prompt and output, which is what the model takes");
    }

    public override string Name { get; }

    public override string Origin => $"{_rows.Length} recorded rows of {Name}" + (LeftOut > 0 ? $"; {LeftOut} longer ones left out" : "");

    /// <summary>Rows that are too long for the model.</summary>
    public int LeftOut { get; }

    /// <summary>Rows in file order, without those left out.</summary>
    public IReadOnlyList<TraceRequest> Rows => _rows;

    public override IReadOnlyList<TraceRequest>? Recorded(double rateScale, double duration) => !_trace.HasArrivals ? null
        : [.. _rows.Select(r => r with { Arrival = r.Arrival / rateScale }).TakeWhile(r => r.Arrival < duration)];

    public override IReadOnlyList<TraceRequest> Poisson(double rate, double duration, ulong seed) => Arrive(Lengths(seed), rate, duration, seed);

    private IEnumerator<TraceRequest> Lengths(ulong seed)
    {
        // Rows in random order: a recorded hour has phases, and a Poisson process should not.
        SimRandom random = new(seed ^ 0x5A5A_0003);
        while (true)
            yield return _rows[random.NextInt(_rows.Length)];
    }
}
