using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>The sampler's filters by sorting, in double precision.</summary>
internal static class SamplingReference
{
    /// <summary>Logits after every filter, already divided by the temperature; -∞ = removed.</summary>
    public static double[] Process(SamplerRow row)
    {
        double[] l = [.. row.Logits.Select(v => (double)v)];
        if (row.Allowed is { } allowed)
            for (int i = 0; i < l.Length; i++)
                l[i] = allowed.Contains(i) ? l[i] : double.NegativeInfinity;
        foreach ((int id, float value) in row.Bias)
            if (id >= 0 && id < l.Length)
                l[id] += value;
        foreach (int id in row.Prompt.Union(row.Output))
            l[id] = l[id] > 0 ? l[id] / row.Parameters.RepetitionPenalty : l[id] * row.Parameters.RepetitionPenalty;
        foreach (IGrouping<int, int> seen in row.Output.GroupBy(t => t))
            l[seen.Key] -= row.Parameters.FrequencyPenalty * seen.Count() + (double)row.Parameters.PresencePenalty;
        if (row.Parameters.Temperature == 0)
        {
            int best = Array.IndexOf(l, l.Max());
            return [.. l.Select((v, i) => i == best ? v : double.NegativeInfinity)];
        }
        l = [.. l.Select(v => v / row.Parameters.Temperature)];
        MinP(l, row.Parameters.MinP);
        TopK(l, row.Parameters.TopK);
        TopP(l, row.Parameters.TopP);
        return l;
    }

    /// <summary>Same tokens kept (a token within one part in 10⁵ of a threshold may go either way), same logits up to a constant.</summary>
    public static void CheckSameSupport(double[] want, float[] got, string what)
    {
        double[] p = Reference.Softmax(want), q = Reference.Softmax([.. got.Select(v => (double)v)]);
        for (int i = 0; i < want.Length; i++)
            Assert.True(Math.Abs(p[i] - q[i]) <= 2e-5, $"{what}, token {i}: found probability {q[i]:g9}, needed {p[i]:g9}");
        Assert.True(want.Count(double.IsNegativeInfinity) == got.Count(float.IsNegativeInfinity), $"{what}: other number of tokens kept");
    }

    private static void MinP(double[] l, double minP)
    {
        double[] p = Reference.Softmax(l);
        double threshold = minP * p.Max();
        for (int i = 0; i < l.Length; i++)
            l[i] = p[i] >= threshold ? l[i] : double.NegativeInfinity;
    }

    private static void TopK(double[] l, int k)
    {
        if (k <= 0 || k >= l.Length)
            return;
        double threshold = l.OrderDescending().ElementAt(k - 1);
        for (int i = 0; i < l.Length; i++)
            l[i] = l[i] >= threshold ? l[i] : double.NegativeInfinity;
    }

    private static void TopP(double[] l, double topP)
    {
        if (topP >= 1)
            return;
        double[] p = Reference.Softmax(l);
        double mass = 0;
        foreach (int i in Enumerable.Range(0, l.Length).OrderByDescending(i => p[i]).ThenBy(i => i))
        {
            if (mass >= topP)
                l[i] = double.NegativeInfinity;
            mass += p[i];
        }
    }
}
