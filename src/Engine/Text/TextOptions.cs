using NativeLM.Engine.Text;

namespace NativeLM.Engine;

/// <summary>How the tokens of one request become text.</summary>
public sealed record TextOptions
{
    /// <summary>Texts that end an output.</summary>
    /// <exception cref="ArgumentException">One is empty.</exception>
    public IReadOnlyList<string> Stop
    {
        get;
        init
        {
            field = value;
            Matcher = value.Count == 0 ? null : new StopMatcher(value);
        }
    } = [];

    /// <summary>Whether the stop text (or the text of a stop token) stays in the output.</summary>
    public bool IncludeStop { get; init; }

    /// <summary>Whether special tokens are left out of the text.</summary>
    public bool SkipSpecialTokens { get; init; } = true;

    /// <summary>
    /// Whether the output goes on from text in the prompt (<see cref="ModelTokenizer.HasText"/> of its ids), so that a leading space is kept. False
    /// only where the prompt is BOS alone.
    /// </summary>
    public bool ContinuesText { get; init; }

    /// <summary>
    /// Outputs that are kept of a request that draws more of them (best_of), best first; null: all, as they come. The choice needs the end of
    /// all, so nothing is said before.
    /// </summary>
    public int? KeepBest { get; init; }

    /// <summary>
    /// Whether the enumeration ends only when the engine has ended the request, a step after a stop text is complete, so that
    /// <see cref="Generation.Sharing"/> is there.
    /// </summary>
    public bool AwaitsEnd { get; init; }

    /// <summary>Finds the stop texts; null without any. One for all outputs: its size is that of the texts.</summary>
    internal StopMatcher? Matcher { get; private init; }
}
