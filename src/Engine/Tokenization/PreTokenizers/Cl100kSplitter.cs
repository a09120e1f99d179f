namespace NativeLM.Engine.Tokenization;

/// <summary>The pattern of cl100k, Llama 3 and Qwen 2: they differ in how many digits make a piece.</summary>
/// <param name="digits">1 (Qwen) or 3 (cl100k, Llama 3); 0: as many as follow.</param>
/// <param name="marksAreLetters">Whether combining marks continue words (Qwen 3.5).</param>
internal sealed class Cl100kSplitter(int digits, bool marksAreLetters = false) : WordSplitter
{
    /// <summary>Llama 3.</summary>
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Qwen 2 and 3.</summary>
    public const string Qwen2Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Qwen 3.5: marks belong to words.</summary>
    public const string Qwen35Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private readonly CharClass _word = marksAreLetters ? CharClass.Letter | CharClass.Mark : CharClass.Letter;

    /// <inheritdoc/>
    protected override int NextPiece(ReadOnlySpan<char> text, int at)
    {
        CharClass first = CharClasses.At(text, at, out int length);
        if ((first & CharClass.Letter) != 0)
            return SkipWhile(text, at + length, _word);
        if (first == CharClass.Number)
            return DigitsEnd(text, at);
        if (Contraction(text, at, ignoreCase: true) is int contraction and > 0)
            return at + contraction;
        // One sign or space may lead a word.
        if (text[at] is not ('\r' or '\n') && at + length < text.Length && (CharClasses.At(text, at + length, out int next) & _word) != 0)
            return SkipWhile(text, at + length + next, _word);
        if ((first & _word) != 0)
            return SkipWhile(text, at + length, _word);
        int signs = text[at] == ' ' && at + 1 < text.Length ? at + 1 : at;
        int end = SkipWhile(text, signs, ~(CharClass.WhiteSpace | CharClass.Number | _word));
        if (end == signs)
            return WhiteSpacePiece(text, at, breakAtNewlines: true);
        while (end < text.Length && text[end] is '\r' or '\n')
            end++;
        return end;
    }

    private int DigitsEnd(ReadOnlySpan<char> text, int at)
    {
        for (int i = 0; (i < digits || digits == 0) && at < text.Length && CharClasses.At(text, at, out int length) == CharClass.Number; i++)
            at += length;
        return at;
    }
}
