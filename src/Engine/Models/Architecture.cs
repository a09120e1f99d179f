namespace NativeLM.Engine.Models;

/// <summary>Whether a linear layer has a bias.</summary>
internal enum BiasRule
{
    Never,
    Always,
    /// <summary>As the config's attention_bias or mlp_bias says.</summary>
    Configured,
}

/// <summary>Which layers attend to a window of the last keys only.</summary>
internal enum WindowRule
{
    None,
    /// <summary>Every layer, if sliding_window is set.</summary>
    EveryLayer,
    /// <summary>By layer_types or max_window_layers, if use_sliding_window is true.</summary>
    SomeLayers,
}

/// <summary>
/// What makes a dense, pre-norm, gated-SiLU, rotary decoder family. The forward pass reads it once, when it builds its layers.
/// What a description cannot say becomes a new field, never a type test in the forward pass.
/// </summary>
internal sealed record Architecture
{
    /// <summary>Values of <c>architectures</c> in config.json that mean this family.</summary>
    public required string[] HuggingFaceNames { get; init; }

    public BiasRule QkvBias { get; init; }

    public BiasRule OutputBias { get; init; }

    public BiasRule MlpBias { get; init; }

    /// <summary>RMSNorm over each query and key head before the rotation.</summary>
    public bool QkNorm { get; init; }

    public WindowRule Window { get; init; }

    /// <summary>rms_norm_eps where the config has none.</summary>
    public double NormEpsilonDefault { get; init; } = 1e-6;
}
