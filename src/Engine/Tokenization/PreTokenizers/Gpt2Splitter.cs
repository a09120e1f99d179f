namespace NativeLM.Engine.Tokenization;

/// <summary>GPT-2's pattern: contractions, and runs of letters, numbers or other signs with at most one space before.</summary>
internal sealed class Gpt2Splitter : WordSplitter
{
    /// <summary>The pattern as files spell it.</summary>
    public const string Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const CharClass Signs = ~(CharClass.WhiteSpace | CharClass.Letter | CharClass.Number);

    /// <inheritdoc/>
    protected override int NextPiece(ReadOnlySpan<char> text, int at)
    {
        if (Contraction(text, at, ignoreCase: false) is int length and > 0)
            return at + length;
        int start = text[at] == ' ' && at + 1 < text.Length ? at + 1 : at;
        CharClass first = CharClasses.At(text, start, out _);
        if (first == CharClass.WhiteSpace)
            return WhiteSpacePiece(text, at, breakAtNewlines: false);
        return SkipWhile(text, start, (first & CharClass.Letter) != 0 ? CharClass.Letter : first == CharClass.Number ? first : Signs);
    }
}
