namespace NativeLM.Engine;

/// <summary>One prompt to continue.</summary>
public sealed record GenerationRequest
{
    /// <summary>Token ids of the prompt: 1 to MaxModelLength - 1, each inside the vocabulary.</summary>
    public required ReadOnlyMemory<int> PromptIds { get; init; }

    /// <summary>How to draw.</summary>
    public SamplingParams Sampling { get; init; } = new();

    /// <summary>Served before those of a higher value where the engine schedules by priority; ignored otherwise.</summary>
    public int Priority { get; init; }

    /// <summary>Requests share cached prefixes only with those of the same salt; null: the key's common one. At most 256 characters.</summary>
    public string? CacheSalt { get; init; }

    /// <summary>Whose request it is: keys get fair shares and do not share cached prefixes. Null: the anonymous key.</summary>
    public string? Key { get; init; }

    /// <summary>Ends with <see cref="FinishReason.DeadlineExceeded"/> when this time has passed since its arrival; null: the engine's default.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>Fills <see cref="Generation.Sharing"/>.</summary>
    public bool ReportSharing { get; init; }

    /// <summary>Name for logs and metrics; null: a running number.</summary>
    public string? Id { get; init; }
}
