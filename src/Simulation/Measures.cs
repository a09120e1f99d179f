using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation;

/// <summary>
/// Adds up what a run does: integrals over time inside the window, and latencies of requests. Latency is kept as a sum of known parts, so that a run
/// which must exceed its bound can stop at once.
/// </summary>
internal sealed class Measures(IReadOnlyList<TraceRequest> requests, RunLimits limits, int slots)
{
    private double _latency;
    private double _firstToken;
    private double _firstTokenCount;
    private double _sojournInWindow;
    private double _batched;
    private double _inSystem;
    private double _busy;
    private double _tokens;
    private double _held;
    private double _reserved;
    private double _internal;
    private double _logical;
    private double _physical;
    private double _emitted;
    private int _completed;
    private long _steps;

    /// <summary>Requests that have arrived and not ended, for the mean number in the system.</summary>
    public int InSystem { get; set; }

    /// <summary>Time passed without a step.</summary>
    public void Idle(double from, double to) => _inSystem += InSystem * Overlap(from, to);

    /// <summary>A step from one time to another.</summary>
    /// <param name="from">Start, s.</param>
    /// <param name="to">End, s.</param>
    /// <param name="batched">Requests in the step.</param>
    /// <param name="emitted">Output tokens drawn.</param>
    /// <param name="held">Token slots that hold K and V.</param>
    /// <param name="reserved">Slots taken that will be used.</param>
    /// <param name="wasted">Slots taken that never will.</param>
    public void Step(double from, double to, int batched, int emitted, double held, double reserved, double wasted)
    {
        double time = Overlap(from, to);
        _steps++;
        _busy += time;
        _batched += batched * time;
        _inSystem += InSystem * time;
        _held += held * time;
        _reserved += reserved * time;
        _internal += wasted * time;
        if (to <= limits.Duration)
            _emitted += emitted;
        _tokens += emitted;
    }

    /// <summary>Blocks of all tables, and distinct blocks among them, in a step.</summary>
    public void Blocks(long logical, long physical)
    {
        _logical += logical;
        _physical += physical;
    }

    /// <summary>The first token of a request came.</summary>
    public void FirstToken(int request, double now)
    {
        _firstToken += now - requests[request].Arrival;
        _firstTokenCount++;
    }

    /// <summary>A request ended.</summary>
    public void End(int request, double now)
    {
        TraceRequest row = requests[request];
        _latency += (now - row.Arrival) / row.Output;
        _sojournInWindow += Overlap(row.Arrival, now);
        _completed++;
        InSystem--;
    }

    /// <summary>
    /// True if the mean is certain to exceed the bound: what has ended and what <paramref name="open"/> requests have waited so far is already too
    /// much.
    /// </summary>
    public bool MustExceed(double now, IEnumerable<int> open)
    {
        double bound = limits.LatencyBound * requests.Count;
        if (double.IsPositiveInfinity(bound))
            return false;
        double sum = _latency;
        foreach (int request in open)
            sum += (now - requests[request].Arrival) / requests[request].Output;
        return sum > bound;
    }

    /// <summary>Closes the run at a time; <paramref name="open"/> requests arrived and did not end.</summary>
    public RunResult Close(double now, IEnumerable<int> open, bool isAboveBound, long preemptions = 0, double prefixHits = 0)
    {
        double latency = _latency, sojourn = _sojournInWindow;
        foreach (int request in open)
        {
            TraceRequest row = requests[request];
            latency += (now - row.Arrival) / row.Output;
            sojourn += Overlap(row.Arrival, now);
        }
        double window = Math.Min(now, limits.Duration);
        double split = _busy * slots;
        return new RunResult
        {
            Requests = requests.Count,
            Completed = _completed,
            NormalisedLatency = requests.Count == 0 ? 0 : latency / requests.Count,
            IsAboveBound = isAboveBound || (requests.Count > 0 && latency / requests.Count > limits.LatencyBound),
            TimeToFirstToken = _firstTokenCount == 0 ? 0 : _firstToken / _firstTokenCount,
            BatchedRequests = window == 0 ? 0 : _batched / window,
            RequestsInSystem = window == 0 ? 0 : _inSystem / window,
            Window = window,
            SojournInWindow = sojourn,
            TokensPerSecond = window == 0 ? 0 : _emitted / window,
            Utilisation = window == 0 ? 0 : _busy / window,
            Memory = split == 0 ? default
                : new MemorySplit(_held / split, _reserved / split, _internal / split, 1 - (_held + _reserved + _internal) / split),
            SharingSaved = _logical == 0 ? 0 : 1 - _physical / _logical,
            Preemptions = preemptions,
            PrefixHitShare = prefixHits,
            Steps = _steps,
        };
    }

    private double Overlap(double from, double to) => Math.Max(0, Math.Min(to, limits.Duration) - Math.Min(from, limits.Duration));
}
