namespace NativeLM.Engine;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>It goes on.</summary>
    None,
    /// <summary>EOS, a stop id or a stop string.</summary>
    Stop,
    /// <summary>MaxTokens or the context length.</summary>
    Length,
    /// <summary>Cancelled by the caller, a dropped reader or shutdown.</summary>
    Cancelled,
    /// <summary>The request's deadline passed before it was done.</summary>
    DeadlineExceeded,
    /// <summary>The engine failed for this request (for example logits that are not finite).</summary>
    Error,
}

/// <summary>One alternative of a log-probability report.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Logprob">Log softmax of the raw logits.</param>
public readonly record struct TokenLogprob(int TokenId, float Logprob);

/// <summary>One token of a generation, or its end. A stop token that ended the output is reported in <see cref="StopTokenId"/>, with TokenId -1.</summary>
public readonly record struct TokenEvent
{
    /// <summary>Which sequence of the request it belongs to, from 0; of beams, the rank. Each sequence ends with an event of its own.</summary>
    public int Index { get; init; }

    /// <summary>The token, or -1 in an event that carries none.</summary>
    public int TokenId { get; init; }

    /// <summary>Log-probability under the raw logits, if asked for.</summary>
    public float Logprob { get; init; }

    /// <summary>Rank among the raw logits, 1 = best, if asked for.</summary>
    public int Rank { get; init; }

    /// <summary>The best alternatives, best first, if asked for.</summary>
    public IReadOnlyList<TokenLogprob>? TopLogprobs { get; init; }

    /// <summary>Set in the last event.</summary>
    public FinishReason FinishReason { get; init; }

    /// <summary>The EOS or stop id that ended the output, or -1.</summary>
    public int StopTokenId { get; init; }

    /// <summary>Message when <see cref="FinishReason"/> is Error, or why the engine itself cancelled.</summary>
    public string? Error { get; init; }

    /// <summary>In the first event, if asked for: one entry per prompt token (the first has no logprob: NaN).</summary>
    public IReadOnlyList<PromptLogprob>? PromptLogprobs { get; init; }
}

/// <summary>Log-probability of one prompt token given those before it.</summary>
/// <param name="TokenId">The prompt token.</param>
/// <param name="Logprob">Its log-probability; NaN for the first token.</param>
/// <param name="Rank">Its rank, 1 = best; 0 for the first token.</param>
/// <param name="TopLogprobs">The best alternatives, best first.</param>
public readonly record struct PromptLogprob(int TokenId, float Logprob, int Rank, IReadOnlyList<TokenLogprob> TopLogprobs);
