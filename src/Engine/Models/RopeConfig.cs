namespace NativeLM.Engine.Models;

/// <summary>How rotary frequencies are derived.</summary>
internal enum RopeKind
{
    /// <summary>θ^(-2i/d).</summary>
    Default,
    /// <summary>Frequencies divided by a factor (position interpolation).</summary>
    Linear,
    /// <summary>Long wavelengths divided by a factor, a smooth band between (Llama 3.1).</summary>
    Llama3,
    /// <summary>NTK by parts with an attention factor (YaRN, Peng et al. 2023).</summary>
    Yarn,
}

/// <summary>Rotary position embedding of a model. Fields beside <see cref="Theta"/> count only for the kinds that name them.</summary>
internal sealed record RopeConfig
{
    public RopeKind Kind { get; init; }

    /// <summary>Base of the frequencies.</summary>
    public double Theta { get; init; } = 10000;

    /// <summary>Leading dims of a head that are rotated; even.</summary>
    public int RotaryDim { get; init; }

    /// <summary>Linear, Llama3, Yarn: how many times longer the context is than in pre-training.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Llama3, Yarn: context length of pre-training.</summary>
    public int OriginalMaxPositions { get; init; }

    /// <summary>Llama3.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama3.</summary>
    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>Yarn: rotations over the original context above which a dim is left as it is.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>Yarn: rotations below which a dim is fully interpolated.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>Yarn: round the band's ends to whole dims.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>Yarn: multiplies cos and sin.</summary>
    public double AttentionFactor { get; init; } = 1;

    private const double Largest = 1e9;

    /// <summary>
    /// Reads rope_parameters (transformers 5) or rope_theta and rope_scaling (4). <c>dynamic</c> changes nothing up to the model's own
    /// context length, which the engine never exceeds, so it reads as default.
    /// </summary>
    public static RopeConfig FromHuggingFace(JsonFields config, int headDim, int positionsMax)
    {
        JsonFields scaling = config.Object("rope_parameters") ?? config.Object("rope_scaling") ?? config;
        bool hasScaling = config.Has("rope_parameters") || config.Has("rope_scaling");
        double theta = (hasScaling ? scaling.Number("rope_theta", 1.0001, 1e18) : null) ?? config.Number("rope_theta", 1.0001, 1e18) ?? 10000;
        double partial = (hasScaling ? scaling.Number("partial_rotary_factor", 0.001, 1) : null)
            ?? config.Number("partial_rotary_factor", 0.001, 1) ?? 1;
        RopeConfig rope = new() { Theta = theta, RotaryDim = (int)(headDim * partial) };
        if (rope.RotaryDim < 2 || rope.RotaryDim % 2 != 0)
            throw config.Wrong("partial_rotary_factor", $"{rope.RotaryDim} rotated dims of {headDim}", "an even number of rotated dims, at least 2");
        string kind = hasScaling ? scaling.Text("rope_type") ?? scaling.Text("type") ?? "default" : "default";
        return kind switch
        {
            "default" or "dynamic" => rope,
            "linear" => rope with { Kind = RopeKind.Linear, Factor = RequiredFactor(scaling) },
            "llama3" => Llama3(rope, scaling),
            "yarn" => Yarn(rope, config, scaling, positionsMax),
            _ => throw scaling.Wrong("rope_type", kind, "default, linear, dynamic, llama3 or yarn"),
        };
    }

    private static RopeConfig Llama3(RopeConfig rope, JsonFields scaling)
    {
        double low = scaling.Number("low_freq_factor", 1e-6, Largest) ?? throw scaling.Missing("low_freq_factor", "a positive number");
        double high = scaling.Number("high_freq_factor", 1e-6, Largest) ?? throw scaling.Missing("high_freq_factor", "a positive number");
        if (high <= low)
            throw scaling.Wrong("high_freq_factor", FormattableString.Invariant($"{high}"),
                FormattableString.Invariant($"more than low_freq_factor ({low})"));
        return rope with
        {
            Kind = RopeKind.Llama3,
            Factor = RequiredFactor(scaling),
            LowFrequencyFactor = low,
            HighFrequencyFactor = high,
            OriginalMaxPositions = scaling.Int("original_max_position_embeddings", 1, ModelConfig.PositionsLimit)
                ?? throw scaling.Missing("original_max_position_embeddings", "a positive integer"),
        };
    }

    private static RopeConfig Yarn(RopeConfig rope, JsonFields config, JsonFields scaling, int positionsMax)
    {
        int original = scaling.Int("original_max_position_embeddings", 1, ModelConfig.PositionsLimit)
            ?? config.Int("original_max_position_embeddings", 1, ModelConfig.PositionsLimit) ?? positionsMax;
        double factor = RequiredFactor(scaling);
        double fast = scaling.Number("beta_fast", 1e-6, Largest) ?? 32, slow = scaling.Number("beta_slow", 1e-6, Largest) ?? 1;
        double mscale = scaling.Number("mscale", 0, Largest) ?? 0, mscaleAllDim = scaling.Number("mscale_all_dim", 0, Largest) ?? 0;
        double attention = scaling.Number("attention_factor", 1e-6, Largest)
            ?? (mscale != 0 && mscaleAllDim != 0 ? Mscale(factor, mscale) / Mscale(factor, mscaleAllDim) : Mscale(factor, 1));
        return rope with
        {
            Kind = RopeKind.Yarn,
            Factor = factor,
            OriginalMaxPositions = original,
            BetaFast = fast,
            BetaSlow = slow,
            Truncate = scaling.Bool("truncate") ?? true,
            AttentionFactor = attention,
        };
    }

    private static double Mscale(double factor, double mscale) => factor <= 1 ? 1 : (0.1 * mscale * Math.Log(factor)) + 1;

    private static double RequiredFactor(JsonFields scaling) =>
        scaling.Number("factor", 1, Largest) ?? throw scaling.Missing("factor", "a number of at least 1");
}
