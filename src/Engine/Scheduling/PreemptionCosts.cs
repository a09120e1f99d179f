namespace NativeLM.Engine.Scheduling;

/// <summary>
/// What the two ways of preemption cost on this machine, in seconds: computing tokens again, or moving blocks to the host and back (the
/// paper's section 7.3). Both grow linearly. Measured at start and corrected by the steps that follow. Results do not depend on it, only
/// which way is taken. Engine thread only.
/// </summary>
/// <param name="stepSeconds">Of a step, whatever it computes.</param>
/// <param name="secondsPerToken">Of a prompt token, more.</param>
/// <param name="secondsPerCopy">Of moving blocks one way, however many.</param>
/// <param name="secondsPerBlock">Of a block moved one way, more.</param>
internal sealed class PreemptionCosts(double stepSeconds, double secondsPerToken, double secondsPerCopy, double secondsPerBlock)
{
    private const double Rate = 0.05; // weight of a new observation
    private const double RatioMax = 4; // one step that the machine was busy elsewhere must not turn the choice

    private double _compute = 1; // what observed steps took, relative to the figures above
    private double _swap = 1;

    /// <summary>Of computing a number of prompt tokens.</summary>
    public double PrefillSeconds(long tokens) => _compute * (stepSeconds + (secondsPerToken * tokens));

    /// <summary>Of moving a number of blocks to the host and back again.</summary>
    public double SwapSeconds(long blocks) => 2 * OneWaySeconds(blocks);

    /// <summary>Corrects the estimates by a step that computed part of a prompt, and may have moved blocks before.</summary>
    /// <param name="tokens">Tokens computed.</param>
    /// <param name="swappedBlocks">Blocks moved one way.</param>
    /// <param name="seconds">What it took.</param>
    public void ObserveStep(int tokens, int swappedBlocks, double seconds)
    {
        if (swappedBlocks > 0)
            _swap *= Correction(seconds - PrefillSeconds(tokens), OneWaySeconds(swappedBlocks));
        else
            _compute *= Correction(seconds, PrefillSeconds(tokens));
    }

    private double OneWaySeconds(long blocks) => _swap * (secondsPerCopy + (secondsPerBlock * blocks));

    private static double Correction(double seconds, double expected) =>
        expected > 0 ? 1 + (Rate * (Math.Clamp(seconds / expected, 1 / RatioMax, RatioMax) - 1)) : 1;
}
