namespace NativeLM.Engine.Weights;

/// <summary>Offsets of one layer's weights in the arena; -1: the model has none.</summary>
internal sealed record LayerOffsets
{
    public long AttentionNorm { get; init; }

    public long Qkv { get; init; }

    public long QkvBias { get; init; } = -1;

    public long QNorm { get; init; } = -1;

    public long KNorm { get; init; } = -1;

    public long Output { get; init; }

    public long OutputBias { get; init; } = -1;

    public long MlpNorm { get; init; }

    public long GateUp { get; init; }

    public long GateUpBias { get; init; } = -1;

    public long Down { get; init; }

    public long DownBias { get; init; } = -1;
}
