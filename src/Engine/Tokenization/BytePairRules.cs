namespace NativeLM.Engine.Tokenization;

/// <summary>How a byte-pair vocabulary treats the start of merging.</summary>
internal sealed record BytePairRules
{
    /// <summary>Byte-level vocabularies: the token of each of the 256 bytes (-1: none). Null: symbols are code points.</summary>
    public int[]? ByteSymbols { get; init; }

    /// <summary>The tokens &lt;0x00&gt; to &lt;0xFF&gt; that stand for code points outside the vocabulary, or null.</summary>
    public int[]? ByteFallback { get; init; }

    /// <summary>Token of an unknown symbol, or -1.</summary>
    public int UnknownId { get; init; } = -1;

    /// <summary>Whether a run of unknown symbols is one token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Whether a piece that is in the vocabulary is that token, merges or not.</summary>
    public bool IgnoreMerges { get; init; }
}
