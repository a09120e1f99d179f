namespace NativeLM.Engine.Tokenization;

/// <summary>The pattern of o200k (GPT-4o, gpt-oss): words break before an upper-case letter that follows lower case, and carry their contraction.</summary>
internal sealed class O200kSplitter : WordSplitter
{
    /// <summary>The pattern as files spell it.</summary>
    public const string Pattern =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        + @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        + @"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const CharClass UpperLike = CharClass.Upper | CharClass.OtherLetter | CharClass.Mark;
    private const CharClass LowerLike = CharClass.Lower | CharClass.OtherLetter | CharClass.Mark;

    /// <inheritdoc/>
    protected override int NextPiece(ReadOnlySpan<char> text, int at)
    {
        CharClass first = CharClasses.At(text, at, out int length);
        int word = WordEnd(text, at, first, length);
        if (word > at)
            return word < text.Length ? word + Contraction(text, word, ignoreCase: true) : word;
        if (first == CharClass.Number)
        {
            for (int i = 0; i < 3 && at < text.Length && CharClasses.At(text, at, out length) == CharClass.Number; i++)
                at += length;
            return at;
        }
        int signs = text[at] == ' ' && at + 1 < text.Length ? at + 1 : at;
        int end = SkipWhile(text, signs, ~(CharClass.WhiteSpace | CharClass.Number | CharClass.Letter));
        if (end == signs)
            return WhiteSpacePiece(text, at, breakAtNewlines: true);
        while (end < text.Length && text[end] is '\r' or '\n' or '/')
            end++;
        return end;
    }

    /// <summary>End of a word at <paramref name="at"/> with at most one leading sign, or <paramref name="at"/>: the alternatives in the pattern's order.</summary>
    private static int WordEnd(ReadOnlySpan<char> text, int at, CharClass first, int length)
    {
        bool mayLead = (first & (CharClass.Letter | CharClass.Number)) == 0 && text[at] is not ('\r' or '\n');
        int end;
        if (mayLead && (end = MixedEnd(text, at + length)) > 0)
            return end;
        if ((end = MixedEnd(text, at)) > 0)
            return end;
        if (mayLead && (end = SkipWhile(text, at + length, UpperLike)) > at + length)
            return SkipWhile(text, end, LowerLike);
        return (end = SkipWhile(text, at, UpperLike)) > at ? SkipWhile(text, end, LowerLike) : at;
    }

    /// <summary>End of <c>[upper-like]*[lower-like]+</c> at <paramref name="at"/>, or -1 when it does not match.</summary>
    private static int MixedEnd(ReadOnlySpan<char> text, int at)
    {
        int lastBoth = -1; // end of the last code point so far that may be either
        int end = at;
        while (end < text.Length && CharClasses.At(text, end, out int length) is var kind && (kind & UpperLike) != 0)
        {
            end += length;
            if ((kind & LowerLike) != 0)
                lastBoth = end;
        }
        int lower = SkipWhile(text, end, LowerLike);
        return lower > end ? lower : lastBoth;
    }
}
