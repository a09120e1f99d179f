namespace NativeLM.Engine.Tokenization;

/// <summary>A splitter whose next piece depends only on the text that follows: the hand-written forms of well-known patterns.</summary>
internal abstract class WordSplitter : PieceSplitter
{
    /// <inheritdoc/>
    public sealed override void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends)
    {
        ReadOnlySpan<char> part = text[..end];
        for (int at = start; at < end;)
        {
            at = NextPiece(part, at);
            ends.Add(at);
        }
    }

    /// <summary>End of the piece that begins at <paramref name="at"/>, which is inside the text.</summary>
    protected abstract int NextPiece(ReadOnlySpan<char> text, int at);

    /// <summary>End of the run of code points whose class is in <paramref name="classes"/>.</summary>
    protected static int SkipWhile(ReadOnlySpan<char> text, int at, CharClass classes)
    {
        while (at < text.Length && (CharClasses.At(text, at, out int length) & classes) != 0)
            at += length;
        return at;
    }

    /// <summary><c>\s*[\r\n]+|\s+(?!\S)|\s+</c> at a white space: up to the last line break of the run, else all but the last space before a word.</summary>
    protected static int WhiteSpacePiece(ReadOnlySpan<char> text, int at, bool breakAtNewlines)
    {
        int end = at, afterNewline = -1;
        for (; end < text.Length && CharClasses.IsWhiteSpace(text[end]); end++)
            if (text[end] is '\r' or '\n')
                afterNewline = end + 1;
        if (breakAtNewlines && afterNewline >= 0)
            return afterNewline;
        return end == text.Length || end - at == 1 ? end : end - 1;
    }

    /// <summary>Length of an English contraction ('s 't 're 've 'm 'll 'd) at <paramref name="at"/>, or 0.</summary>
    protected static int Contraction(ReadOnlySpan<char> text, int at, bool ignoreCase)
    {
        if (text[at] != '\'' || at + 1 >= text.Length)
            return 0;
        char first = Fold(text[at + 1], ignoreCase);
        if (first is 's' or 't' or 'm' or 'd')
            return 2;
        if (at + 2 >= text.Length)
            return 0;
        return (first, Fold(text[at + 2], ignoreCase)) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    // U+017F (long s) is the one letter outside ASCII that Unicode case folding maps onto these letters.
    private static char Fold(char c, bool ignoreCase) =>
        !ignoreCase ? c : c is >= 'A' and <= 'Z' ? (char)(c | 0x20) : c == '\u017F' ? 's' : c;
}
