namespace NativeLM.Engine;

/// <summary>What was loaded and how large it is. Fixed when the engine starts.</summary>
public sealed record EngineInfo
{
    /// <summary>Name of the model: the last part of its folder.</summary>
    public required string ModelName { get; init; }

    /// <summary>Architecture as config.json names it, for example LlamaForCausalLM.</summary>
    public required string Architecture { get; init; }

    /// <summary>Compute precision: float32, bfloat16 or float16.</summary>
    public required string DType { get; init; }

    /// <summary>The device in words, for example "cpu (amx, 2 threads)".</summary>
    public required string Device { get; init; }

    /// <summary>Longest sequence, prompt and output together, in tokens.</summary>
    public required int MaxModelLength { get; init; }

    /// <summary>Token ids are in [0, VocabularySize).</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Token slots of one KV block.</summary>
    public required int BlockSize { get; init; }

    /// <summary>KV blocks of the pool, the null block included: BlockCount - 1 can be used.</summary>
    public required int BlockCount { get; init; }

    /// <summary>Most sequences in one step.</summary>
    public required int MaxSequences { get; init; }

    /// <summary>Most tokens in one step.</summary>
    public required int MaxBatchedTokens { get; init; }

    /// <summary>Ids that end an output unless the request ignores them.</summary>
    public required IReadOnlyList<int> EosTokenIds { get; init; }

    /// <summary>Bytes of one KV block over all layers.</summary>
    public long BlockBytes { get; init; }

    /// <summary>Blocks of host memory for requests that are swapped out.</summary>
    public int HostBlockCount { get; init; }

    /// <summary>A step is planned and launched before the tokens of the one before are known.</summary>
    public bool IsAsync { get; init; }

    /// <summary>Lines that say how the memory is used.</summary>
    public IReadOnlyList<string> StartupReport { get; init; } = [];
}
