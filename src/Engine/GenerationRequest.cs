namespace NativeLM.Engine;

/// <summary>One prompt to continue.</summary>
public sealed record GenerationRequest
{
    /// <summary>Token ids of the prompt: 1 to MaxModelLength - 1, each inside the vocabulary.</summary>
    public required ReadOnlyMemory<int> PromptIds { get; init; }

    /// <summary>How to draw.</summary>
    public SamplingParams Sampling { get; init; } = new();

    /// <summary>Name for logs and metrics; null: a running number.</summary>
    public string? Id { get; init; }
}
