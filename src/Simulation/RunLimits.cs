namespace NativeLM.Simulation;

/// <summary>When a run may stop before its last request is done.</summary>
/// <param name="Duration">Length of the trace in s; measures other than latency are averages over this window.</param>
/// <param name="LatencyBound">
/// Stop as soon as the mean normalised latency is certain to exceed this many s/token. Only the answer "above the bound" is then exact.
/// </param>
internal readonly record struct RunLimits(double Duration, double LatencyBound = double.PositiveInfinity)
{
    /// <summary>A run ends after this many times its trace, done or not.</summary>
    public const double DrainFactor = 4;

    /// <summary>Last moment of the clock.</summary>
    public double End => Duration * DrainFactor;
}
