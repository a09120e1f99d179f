using NativeLM.Engine;

namespace NativeLM.Server;

/// <summary>What the HTTP side must know of the model to check a request.</summary>
internal sealed record ServedModel
{
    /// <summary>Names it answers to, the shown one first.</summary>
    public required IReadOnlyList<string> Names { get; init; }

    /// <summary>Where it came from: the folder's name, never its path.</summary>
    public required string Root { get; init; }

    /// <summary>Ids are in [0, VocabularySize).</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Most tokens of prompt and output together.</summary>
    public required int ContextLength { get; init; }

    /// <summary>UTF-8 bytes of the longest token: with the context length, a bound on prompt text.</summary>
    public required int LongestTokenBytes { get; init; }

    /// <summary>From the model's generation_config.json.</summary>
    public required SamplingParams DefaultSampling { get; init; }

    /// <summary>Unix time of loading.</summary>
    public required long Created { get; init; }

    /// <summary>Changes when a build, model or numerical setting changes.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>Most UTF-8 bytes a prompt that fits the context can have.</summary>
    public long PromptBytesMax => (long)ContextLength * LongestTokenBytes;
}
