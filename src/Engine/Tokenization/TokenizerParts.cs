namespace NativeLM.Engine.Tokenization;

/// <summary>What a tokenizer file gives: the model with its pipeline, and the facts around it.</summary>
internal sealed record TokenizerParts
{
    public required string File { get; init; }

    public required BytePairTokenizer Tokenizer { get; init; }

    /// <summary>UTF-8 text of each id when decoded.</summary>
    public required TokenTable Texts { get; init; }

    public required IReadOnlyList<AddedToken> Added { get; init; }

    /// <summary>Ids by the text the file gives them.</summary>
    public required IReadOnlyDictionary<string, int> IdsByText { get; init; }

    /// <summary>Ids put before a prompt (BOS).</summary>
    public required int[] Prefix { get; init; }

    /// <summary>Ids put after a prompt.</summary>
    public required int[] Suffix { get; init; }

    /// <summary>Whether decoding drops one space at the start of the text.</summary>
    public bool StripLeadingSpace { get; init; }
}
