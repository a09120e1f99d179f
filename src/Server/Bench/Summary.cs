namespace NativeLM.Server.Bench;

/// <summary>Mean and percentiles of one quantity (nearest rank).</summary>
internal sealed record Summary(double Mean, double P50, double P90, double P99, double Max)
{
    public static Summary? Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Where(double.IsFinite).Order()];
        return sorted.Length == 0 ? null : new Summary(sorted.Average(), At(0.50), At(0.90), At(0.99), sorted[^1]);

        double At(double quantile) => sorted[Math.Clamp((int)Math.Ceiling(quantile * sorted.Length) - 1, 0, sorted.Length - 1)];
    }
}
