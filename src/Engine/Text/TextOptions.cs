namespace NativeLM.Engine;

/// <summary>How the tokens of one generation become text.</summary>
public sealed record TextOptions
{
    /// <summary>Texts that end the output; none is empty.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Whether the stop text (or the text of a stop token) stays in the output.</summary>
    public bool IncludeStop { get; init; }

    /// <summary>Whether special tokens are left out of the text.</summary>
    public bool SkipSpecialTokens { get; init; } = true;

    /// <summary>
    /// Whether the output goes on from text in the prompt (<see cref="ModelTokenizer.HasText"/> of its ids), so that a leading space is kept. False
    /// only where the prompt is BOS alone.
    /// </summary>
    public bool ContinuesText { get; init; }
}
