using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>The arguments of one layer's ops, complete but for the row counts of a step.</summary>
internal sealed class Layer
{
    public required NormArgs AttentionNorm { get; init; }

    public required GemmArgs Qkv { get; init; }

    public required WriteKvArgs WriteKv { get; init; }

    public required PagedAttentionArgs Attention { get; init; }

    /// <summary>Adds to the residual stream in place.</summary>
    public required GemmArgs Output { get; init; }

    public required NormArgs MlpNorm { get; init; }

    public required GemmArgs GateUp { get; init; }

    /// <summary>Adds to the residual stream in place.</summary>
    public required GemmArgs Down { get; init; }
}
