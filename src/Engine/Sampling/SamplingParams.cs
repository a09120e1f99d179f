namespace NativeLM.Engine;

/// <summary>How tokens of one request are drawn. Immutable; ranges are those of the HTTP API (docs/api.md).</summary>
public sealed record SamplingParams
{
    /// <summary>0 (below 1e-5) is greedy; at most 2.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Nucleus mass in (0, 1].</summary>
    public float TopP { get; init; } = 1;

    /// <summary>0: off.</summary>
    public int TopK { get; init; }

    /// <summary>Least probability relative to the best token, in [0, 1].</summary>
    public float MinP { get; init; }

    /// <summary>Divides (positive) or multiplies (negative) the logits of tokens seen in prompt or output.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted once from the logits of tokens in the output.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted per occurrence from the logits of tokens in the output.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Added to logits before everything else.</summary>
    public IReadOnlyList<KeyValuePair<int, float>> LogitBias { get; init; } = [];

    /// <summary>If not empty, only these ids can be drawn.</summary>
    public IReadOnlyList<int> AllowedTokenIds { get; init; } = [];

    /// <summary>Seed of the counter-based generator; null: drawn by the engine.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Most output tokens; null: what the context leaves.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>No end token (EOS or stop id) can be drawn before this many output tokens.</summary>
    public int MinTokens { get; init; }

    /// <summary>Goes on past EOS.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>Ids that end the output besides EOS.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Alternatives reported per output token (0..20); null: no log-probabilities at all.</summary>
    public int? Logprobs { get; init; }

    /// <summary>Alternatives reported per prompt token (0..20); null: none.</summary>
    public int? PromptLogprobs { get; init; }

    /// <summary>True if a step needs the counts of tokens drawn so far.</summary>
    internal bool NeedsTokenCounts => RepetitionPenalty != 1 || PresencePenalty != 0 || FrequencyPenalty != 0;

    /// <summary>Least temperature that still draws; below it the argmax is taken.</summary>
    internal const float GreedyBelow = 1e-5f;
}
