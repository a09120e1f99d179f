using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>The formulas in double precision, as plain as they come. Nothing here is shared with the code under test.</summary>
internal static class Reference
{
    /// <summary>x [rows, k] · wᵀ [n, k]; also Σ|x·w| per element.</summary>
    public static (double[] Value, double[] Magnitude) Gemm(float[] x, float[] w, int rows, int n, int k, float[]? bias = null)
    {
        double[] value = new double[rows * n], magnitude = new double[rows * n];
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < n; j++)
            {
                double sum = bias?[j] ?? 0, size = Math.Abs(sum);
                for (int i = 0; i < k; i++)
                {
                    double product = (double)x[r * k + i] * w[j * k + i];
                    sum += product;
                    size += Math.Abs(product);
                }
                (value[r * n + j], magnitude[r * n + j]) = (sum, size);
            }
        return (value, magnitude);
    }

    public static double Silu(double x) => x / (1 + Math.Exp(-x));

    public static double GeluTanh(double x) => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

    public static double Gelu(double x) => 0.5 * x * (1 + Erf(x / Math.Sqrt(2)));

    public static double Activation(Epilogue kind, double x) => kind switch
    {
        Epilogue.None => x,
        Epilogue.Relu => Math.Max(x, 0),
        Epilogue.Gelu => Gelu(x),
        Epilogue.GeluTanh or Epilogue.GeluTanhMul => GeluTanh(x),
        Epilogue.SiluMul => Silu(x),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    public static bool IsGated(Epilogue kind) => kind is Epilogue.SiluMul or Epilogue.GeluTanhMul;

    /// <summary>One row: norm(s) · (weight + offset) + bias; also the magnitude that rounding errors scale with.</summary>
    public static (double[] Value, double[] Magnitude) Norm(
        NormKind kind, double[] s, float[]? weight, float[]? bias, double epsilon, double offset)
    {
        double mean = kind == NormKind.Layer ? s.Average() : 0;
        double scale = 1 / Math.Sqrt(s.Average(v => (v - mean) * (v - mean)) + epsilon);
        double[] value = new double[s.Length], magnitude = new double[s.Length];
        for (int i = 0; i < s.Length; i++)
        {
            double w = (weight?[i] ?? 1) + offset * (weight is null ? 0 : 1);
            value[i] = (s[i] - mean) * scale * w + (bias?[i] ?? 0);
            magnitude[i] = (Math.Abs(s[i]) + Math.Abs(mean)) * scale * Math.Abs(w) + Math.Abs(bias?[i] ?? 0);
        }
        return (value, magnitude);
    }

    /// <summary>Rotates the first rotary dims of one head in place; the table row holds cos then sin.</summary>
    public static void Rope(Span<double> head, ReadOnlySpan<float> table, int rotaryDim, RopeStyle style)
    {
        int half = rotaryDim / 2;
        for (int i = 0; style != RopeStyle.None && i < half; i++)
        {
            int a = style == RopeStyle.HalfSplit ? i : 2 * i, b = style == RopeStyle.HalfSplit ? i + half : 2 * i + 1;
            double cos = table[i], sin = table[half + i], x = head[a], y = head[b];
            (head[a], head[b]) = (x * cos - y * sin, y * cos + x * sin);
        }
    }

    /// <summary>Attention of one query head over keys [first, last]; the magnitude is the largest |v| seen.</summary>
    public static (double[] Value, double Magnitude) Attention(
        ReadOnlySpan<double> q, Func<int, double[]> key, Func<int, double[]> value, int first, int last, AttentionOptions options, int head)
    {
        double[] scores = new double[last - first + 1];
        for (int j = first; j <= last; j++)
        {
            double[] k = key(j);
            double s = 0;
            for (int d = 0; d < q.Length; d++)
                s += q[d] * k[d];
            s *= options.Scale;
            s = options.Softcap > 0 ? options.Softcap * Math.Tanh(s / options.Softcap) : s;
            scores[j - first] = s + (options.AlibiSlopes is { } slopes ? slopes[head] * (j - last) : 0);
        }
        double sink = options.Sinks is { } sinks ? sinks[head] : double.NegativeInfinity;
        double max = Math.Max(scores.Max(), sink), sum = Math.Exp(sink - max), magnitude = 0;
        double[] result = new double[q.Length];
        for (int j = first; j <= last; j++)
        {
            double p = Math.Exp(scores[j - first] - max);
            sum += p;
            double[] v = value(j);
            for (int d = 0; d < result.Length; d++)
            {
                result[d] += p * v[d];
                magnitude = Math.Max(magnitude, Math.Abs(v[d]));
            }
        }
        for (int d = 0; d < result.Length; d++)
            result[d] /= sum;
        return (result, magnitude);
    }

    public static double[] Softmax(double[] logits)
    {
        double max = logits.Max();
        double[] e = [.. logits.Select(l => Math.Exp(l - max))];
        double sum = e.Sum();
        return [.. e.Select(v => v / sum)];
    }

    // Series for small arguments, continued fraction for large ones: both to double precision.
    private static double Erf(double x)
    {
        double a = Math.Abs(x);
        if (a < 3)
        {
            double term = a, sum = a;
            for (int n = 1; Math.Abs(term) > 1e-18 * Math.Abs(sum) && n < 200; n++)
            {
                term *= -a * a / n;
                sum += term / (2 * n + 1);
            }
            return Math.Sign(x) * 2 / Math.Sqrt(Math.PI) * sum;
        }
        double fraction = 0;
        for (int n = 60; n > 0; n--)
            fraction = n / 2.0 / (a + fraction);
        return Math.Sign(x) * (1 - Math.Exp(-a * a) / Math.Sqrt(Math.PI) / (a + fraction));
    }
}
