using System.Buffers;

namespace NativeLM.Engine.Tokenization;

/// <summary>
/// DeepSeek V3's three patterns in a row: digits by three, runs of Han and kana, then words with their marks. Since each is applied to what the one
/// before left, no piece crosses the border of a number or of a Han run.
/// </summary>
internal sealed class DeepSeekSplitter : PieceSplitter
{
    /// <summary>The patterns as files spell them.</summary>
    public static readonly string[] Patterns =
    [
        @"\p{N}{1,3}",
        "[一-龥぀-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ];

    private static readonly WordSplitter Words = new WordsOfOneStretch();

    /// <inheritdoc/>
    public override void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends)
    {
        while (start < end)
        {
            CharClass first = CharClasses.At(text, start, out _);
            int stop = start;
            if (first == CharClass.Number)
            {
                for (int i = 0; i < 3 && stop < end && CharClasses.At(text, stop, out int length) == CharClass.Number; i++)
                    stop += length;
                ends.Add(stop);
            }
            else if (IsHanOrKana(text[start]))
            {
                while (stop < end && IsHanOrKana(text[stop]))
                    stop++;
                ends.Add(stop);
            }
            else
            {
                while (stop < end && CharClasses.At(text, stop, out int length) is not CharClass.Number && !IsHanOrKana(text[stop]))
                    stop += length;
                Words.Split(text, start, stop, ends);
            }
            start = stop;
        }
    }

    private static bool IsHanOrKana(char c) => c is (>= '\u4E00' and <= '\u9FA5') or (>= '\u3040' and <= '\u30FF');

    private sealed class WordsOfOneStretch : WordSplitter
    {
        private const CharClass Word = CharClass.Letter | CharClass.Mark;

        private static readonly SearchValues<char> Signs = SearchValues.Create("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

        protected override int NextPiece(ReadOnlySpan<char> text, int at)
        {
            CharClass first = CharClasses.At(text, at, out int length);
            if (Signs.Contains(text[at]) && at + 1 < text.Length && char.IsAsciiLetter(text[at + 1]))
            {
                int letters = at + 2;
                while (letters < text.Length && char.IsAsciiLetter(text[letters]))
                    letters++;
                return letters;
            }
            if ((first & Word) != 0)
                return SkipWhile(text, at + length, Word);
            bool mayLead = first != CharClass.Punctuation && text[at] is not ('\r' or '\n');
            if (mayLead && at + length < text.Length && (CharClasses.At(text, at + length, out _) & Word) != 0)
                return SkipWhile(text, at + length, Word);
            int signs = text[at] == ' ' && at + 1 < text.Length ? at + 1 : at;
            int end = SkipWhile(text, signs, CharClass.Punctuation);
            if (end == signs)
                return first == CharClass.WhiteSpace ? WhiteSpacePiece(text, at, breakAtNewlines: true) : Unmatched(text, at, length);
            while (end < text.Length && text[end] is '\r' or '\n')
                end++;
            return end;
        }

        // Controls and the like match nothing; a stretch of them up to the next match is one piece.
        private static int Unmatched(ReadOnlySpan<char> text, int at, int length)
        {
            for (at += length; at < text.Length && CharClasses.At(text, at, out length) == CharClass.Other; at += length)
                if (at + length < text.Length && (CharClasses.At(text, at + length, out _) & Word) != 0)
                    return at;
            return at;
        }
    }
}
