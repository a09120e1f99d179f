using NativeLM.Engine;

namespace NativeLM.Server.Validation;

/// <summary>What completions and chat requests have in common, checked and defaulted.</summary>
internal sealed record GenerationSettings
{
    /// <summary>Name under which the client asked for the model.</summary>
    public required string Model { get; init; }

    public required SamplingParams Sampling { get; init; }

    /// <summary>True if prompt_logprobs was asked for (echo with logprobs computes them too, but reports them elsewhere).</summary>
    public bool ReportsPromptLogprobs { get; init; }

    /// <summary>True if max_tokens was 0: nothing is generated, the prompt is only reported.</summary>
    public bool PromptOnly { get; init; }

    /// <summary>True if the client named the output length itself.</summary>
    public bool MaxTokensIsExplicit { get; init; }

    public IReadOnlyList<string> Stop { get; init; } = [];

    public bool IncludeStop { get; init; }

    public bool SkipSpecialTokens { get; init; } = true;

    public bool Stream { get; init; }

    /// <summary>One last chunk with the usage.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>Running usage in every chunk.</summary>
    public bool ContinuousUsage { get; init; }

    /// <summary>Ids of prompt and output are reported.</summary>
    public bool ReturnTokenIds { get; init; }

    /// <summary>Log-probabilities name tokens as "token_id:N".</summary>
    public bool ReturnTokensAsTokenIds { get; init; }

    /// <summary>Keep only the last tokens of the prompt: a count, -1 for what the context allows, or null.</summary>
    public int? TruncatePromptTokens { get; init; }

    public bool AddSpecialTokens { get; init; }

    public string? RequestId { get; init; }

    /// <summary>Lower ones are served first under that policy.</summary>
    public int Priority { get; init; }

    /// <summary>Cached prefixes are shared only with requests of the same salt; null: with all of the key.</summary>
    public string? CacheSalt { get; init; }

    /// <summary>Time from arrival after which the request has failed; null: the server's default.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>The answer tells what sharing of KV blocks saved.</summary>
    public bool ReportsSharing { get; init; }
}
