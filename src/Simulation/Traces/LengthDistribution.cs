namespace NativeLM.Simulation.Traces;

/// <summary>Log-normal token counts, given by mean and coefficient of variation before they are rounded and clipped to [Min, Max].</summary>
internal sealed record LengthDistribution(double Mean, double Variation, int Min, int Max)
{
    private readonly double _sigma = Math.Sqrt(Math.Log(1 + Variation * Variation));

    /// <summary>One length.</summary>
    public int Draw(SimRandom random) => Math.Clamp(Raw(random), Min, Max);

    private int Raw(SimRandom random)
    {
        double mu = Math.Log(Mean) - _sigma * _sigma / 2;
        return (int)Math.Min(Math.Round(Math.Exp(mu + _sigma * random.NextNormal())), int.MaxValue);
    }
}
