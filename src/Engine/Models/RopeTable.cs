namespace NativeLM.Engine.Models;

/// <summary>
/// cos and sin of every position, fp32, as Hugging Face computes them: frequencies rounded to fp32, angles as fp32 products.
/// A model was trained with those roundings, so more exact angles would be less right at long positions.
/// </summary>
internal static class RopeTable
{
    /// <summary>Fills rows of [positions, rotaryDim] from a first position on: cos of each frequency, then sin of each.</summary>
    public static void Fill(RopeConfig rope, ReadOnlySpan<float> frequencies, int firstPosition, Span<float> rows)
    {
        int half = frequencies.Length;
        for (int r = 0; r < rows.Length / rope.RotaryDim; r++)
        {
            Span<float> row = rows.Slice(r * rope.RotaryDim, rope.RotaryDim);
            for (int i = 0; i < half; i++)
            {
                (double sin, double cos) = Math.SinCos((float)(firstPosition + r) * frequencies[i]);
                row[i] = (float)cos * (float)rope.AttentionFactor;
                row[half + i] = (float)sin * (float)rope.AttentionFactor;
            }
        }
    }

    /// <summary>Radians per position of each rotated pair.</summary>
    public static float[] Frequencies(RopeConfig rope)
    {
        float[] frequencies = new float[rope.RotaryDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double plain = 1 / Math.Pow(rope.Theta, 2.0 * i / rope.RotaryDim);
            frequencies[i] = (float)(rope.Kind switch
            {
                RopeKind.Linear => plain / rope.Factor,
                RopeKind.Llama3 => Llama3(rope, plain),
                RopeKind.Yarn => Yarn(rope, plain, i),
                _ => plain,
            });
        }
        return frequencies;
    }

    private static double Llama3(RopeConfig rope, double plain)
    {
        double wavelength = 2 * Math.PI / plain;
        if (wavelength > rope.OriginalMaxPositions / rope.LowFrequencyFactor)
            return plain / rope.Factor;
        if (wavelength < rope.OriginalMaxPositions / rope.HighFrequencyFactor)
            return plain;
        double smooth = ((rope.OriginalMaxPositions / wavelength) - rope.LowFrequencyFactor) / (rope.HighFrequencyFactor - rope.LowFrequencyFactor);
        return ((1 - smooth) * plain / rope.Factor) + (smooth * plain);
    }

    private static double Yarn(RopeConfig rope, double plain, int pair)
    {
        double low = CorrectionDim(rope, rope.BetaFast), high = CorrectionDim(rope, rope.BetaSlow);
        if (rope.Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        low = Math.Max(low, 0);
        high = Math.Min(high, rope.RotaryDim - 1);
        if (low == high)
            high += 0.001;
        double interpolated = Math.Clamp((pair - low) / (high - low), 0, 1);
        return (interpolated * plain / rope.Factor) + ((1 - interpolated) * plain);
    }

    // The (fractional) pair that makes this many rotations over the original context.
    private static double CorrectionDim(RopeConfig rope, double rotations) =>
        rope.RotaryDim * Math.Log(rope.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(rope.Theta));
}
