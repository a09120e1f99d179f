namespace NativeLM.Engine;

/// <summary>A token and where its text begins.</summary>
/// <param name="Token">The token as the engine reported it, with its log-probabilities.</param>
/// <param name="TextOffset">Start of its text in the whole output, in UTF-16 units. A token inside a code point shares the offset of its first one.</param>
public readonly record struct TextToken(TokenEvent Token, int TextOffset);

/// <summary>The next stretch of one output of a request. The texts of all its events, joined, are the output.</summary>
public sealed record TextEvent
{
    /// <summary>Which output, from 0.</summary>
    public int Index { get; init; }

    /// <summary>Complete code points; may be empty.</summary>
    public string Text { get; init; } = "";

    /// <summary>Tokens whose text is now out in full. Tokens that lie wholly behind a stop text are never reported, only counted.</summary>
    public IReadOnlyList<TextToken> Tokens { get; init; } = [];

    /// <summary>Tokens generated so far, those behind a stop text included.</summary>
    public int CompletionTokenCount { get; init; }

    /// <summary>Set in the last event.</summary>
    public FinishReason FinishReason { get; init; }

    /// <summary>The stop text that ended the output, or null.</summary>
    public string? StopString { get; init; }

    /// <summary>The EOS or stop id that ended the output, or -1.</summary>
    public int StopTokenId { get; init; } = -1;

    /// <summary>Log-probability of the EOS or stop id that ended the output, where there is one; else 0.</summary>
    internal float EndLogprob { get; init; }

    /// <summary>Message when <see cref="FinishReason"/> is Error.</summary>
    public string? Error { get; init; }

    /// <summary>In one of the first events, if asked for.</summary>
    public IReadOnlyList<PromptLogprob>? PromptLogprobs { get; init; }
}
