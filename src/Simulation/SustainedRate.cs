using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation;

/// <summary>The highest Poisson rate whose mean normalised latency stays within a bound, by bisection with common random numbers.</summary>
internal static class SustainedRate
{
    /// <summary>The bracket is narrowed to this ratio.</summary>
    public const double Precision = 1.01;

    /// <summary>Fewer requests than this in a trace say nothing about a rate.</summary>
    public const int RequestsMin = 30;

    private const double RateMax = 1e6;

    /// <summary>Requests/s at which the bound was met, and a hundredth above which it was not; 0 if even <see cref="RequestsMin"/> requests in the
    /// trace are too many.</summary>
    /// <param name="scenario">What runs.</param>
    /// <param name="workload">Lengths.</param>
    /// <param name="duration">Length of the trace, s.</param>
    /// <param name="bound">Mean normalised latency, s/token.</param>
    /// <param name="guess">Where to begin; it decides how long the search takes, not what it finds.</param>
    /// <param name="cancellation">Stops between two runs.</param>
    public static double Find(Scenario scenario, Workload workload, double duration, double bound, double guess = 1,
        CancellationToken cancellation = default)
    {
        double low = 0, high = double.PositiveInfinity;
        double step = 1.08;
        double least = RequestsMin / duration;
        for (double rate = Math.Max(guess, least); low == 0 || double.IsPositiveInfinity(high); step = Math.Min(step * step, 4))
        {
            if (Holds(rate))
                low = rate;
            else
                high = rate;
            if (low > RateMax)
                return low;
            if (high <= least)
                return 0;
            rate = low == 0 ? Math.Max(high / step, least) : low * step;
        }
        while (high / low > Precision)
        {
            double middle = Math.Sqrt(low * high);
            if (Holds(middle))
                low = middle;
            else
                high = middle;
        }
        return low;

        bool Holds(double rate)
        {
            cancellation.ThrowIfCancellationRequested();
            return !Simulator.Run(scenario, workload.Poisson(rate, duration, scenario.Seed), new RunLimits(duration, bound)).IsAboveBound;
        }
    }
}
