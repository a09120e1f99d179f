namespace NativeLM.Engine.Tokenization;

/// <summary>A token that is found in text before the model sees it.</summary>
internal sealed record AddedToken
{
    public required int Id { get; init; }

    public required string Content { get; init; }

    /// <summary>Left out of decoded text when asked.</summary>
    public bool Special { get; init; }

    /// <summary>Only where no word character touches it.</summary>
    public bool SingleWord { get; init; }

    /// <summary>Takes the white space before it along.</summary>
    public bool StripLeft { get; init; }

    /// <summary>Takes the white space after it along.</summary>
    public bool StripRight { get; init; }

    /// <summary>Sought in normalized text rather than in the text as given.</summary>
    public bool Normalized { get; init; }

    /// <summary>
    /// Whether text from users must never become this token: special ones, and those spelt like markup although the file calls them ordinary
    /// (Phi-3's &lt;/s&gt;, Qwen's &lt;think&gt;).
    /// </summary>
    public bool IsControl => Special || (Content.Length > 2 && (Content[0], Content[^1]) is ('<', '>') or ('[', ']'));
}
