using System.Buffers;
using System.Globalization;
using System.Text.RegularExpressions;

namespace NativeLM.Engine.Tokenization;

/// <summary>What becomes of the text a split pattern matches.</summary>
internal enum SplitBehavior
{
    /// <summary>Each match is a piece.</summary>
    Isolated,
    /// <summary>A match ends the piece before it.</summary>
    MergedWithPrevious,
    /// <summary>A match begins the piece after it.</summary>
    MergedWithNext,
    /// <summary>Adjacent matches are one piece.</summary>
    Contiguous,
}

/// <summary>
/// Any other pattern, by the .NET engine: without backtracking where the pattern allows it, else under a time limit.
/// Code points beyond the BMP are shown to the engine as one stand-in of the same category, so that \p{L} and the like hold for them.
/// </summary>
internal sealed class RegexSplitter : PieceSplitter
{
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(2);

    private readonly Regex _regex;
    private readonly SplitBehavior _behavior;
    private readonly bool _invert;

    /// <summary>The pattern, where each match is a piece; else null.</summary>
    public string? IsolatedPattern => _behavior == SplitBehavior.Isolated && !_invert ? _regex.ToString() : null;

    /// <exception cref="ArgumentException">The pattern is not one the engine takes.</exception>
    public RegexSplitter(string pattern, SplitBehavior behavior, bool invert)
    {
        _behavior = behavior;
        _invert = invert;
        try
        {
            _regex = new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (NotSupportedException)
        {
            _regex = new Regex(pattern, RegexOptions.CultureInvariant, MatchTimeout);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="RequestRejectedException">A pattern with look-around took too long.</exception>
    public override void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends)
    {
        if (start == end)
            return;
        ReadOnlySpan<char> part = text[start..end];
        char[]? standIns = null;
        try
        {
            if (part.IndexOfAnyInRange('\uD800', '\uDBFF') >= 0)
            {
                standIns = ArrayPool<char>.Shared.Rent(part.Length);
                part = ReplaceSurrogates(part, standIns);
            }
            SplitMatches(part, text[start..end], start, ends);
        }
        catch (RegexMatchTimeoutException)
        {
            throw new RequestRejectedException(RejectionKind.InvalidValue, "the text takes too long to split into words with this model's tokenizer");
        }
        finally
        {
            if (standIns is not null)
                ArrayPool<char>.Shared.Return(standIns);
        }
    }

    // `shown` is `original` with pairs of surrogates as one char; positions are mapped back while walking.
    private void SplitMatches(ReadOnlySpan<char> shown, ReadOnlySpan<char> original, int offset, List<int> ends)
    {
        int shownAt = 0, originalAt = 0;
        int Map(int position, ReadOnlySpan<char> source, bool same)
        {
            if (same)
                return offset + position;
            for (; shownAt < position; shownAt++)
                originalAt += IsPair(source, originalAt) ? 2 : 1;
            return offset + originalAt;
        }

        bool same = shown.Length == original.Length;
        int pieceStart = 0, matchEnd = 0;
        bool previousMatched = false;
        void Part(int partEnd, bool matched, ReadOnlySpan<char> source)
        {
            bool joins = pieceStart < matchEnd && _behavior switch
            {
                SplitBehavior.MergedWithPrevious => matched && !previousMatched,
                SplitBehavior.MergedWithNext => previousMatched && !matched,
                SplitBehavior.Contiguous => previousMatched == matched,
                _ => false,
            };
            if (pieceStart < matchEnd && !joins)
            {
                ends.Add(Map(matchEnd, source, same));
                pieceStart = matchEnd;
            }
            matchEnd = partEnd;
            previousMatched = matched;
        }

        foreach (ValueMatch match in _regex.EnumerateMatches(shown))
        {
            if (match.Length == 0)
                continue;
            if (match.Index > matchEnd)
                Part(match.Index, _invert, original);
            Part(match.Index + match.Length, !_invert, original);
        }
        if (matchEnd < shown.Length)
            Part(shown.Length, _invert, original);
        ends.Add(offset + original.Length);
    }

    private static bool IsPair(ReadOnlySpan<char> text, int at) =>
        char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]);

    private static ReadOnlySpan<char> ReplaceSurrogates(ReadOnlySpan<char> text, char[] standIns)
    {
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (IsPair(text, i))
            {
                standIns[length++] = StandIn(CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(text[i], text[i + 1])));
                i++;
            }
            else
                standIns[length++] = text[i];
        }
        return standIns.AsSpan(0, length);
    }

    private static char StandIn(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\u00D8',
        UnicodeCategory.LowercaseLetter => '\u00F8',
        UnicodeCategory.TitlecaseLetter => '\u01C5',
        UnicodeCategory.ModifierLetter => '\u02B0',
        UnicodeCategory.OtherLetter => '\u01BB',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.EnclosingMark => '\u0488',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u16EE',
        UnicodeCategory.OtherNumber => '\u00B2',
        UnicodeCategory.DashPunctuation => '\u058A',
        UnicodeCategory.OpenPunctuation => '\u0F3A',
        UnicodeCategory.ClosePunctuation => '\u0F3B',
        UnicodeCategory.OtherPunctuation => '\u00A1',
        UnicodeCategory.MathSymbol => '\u00AC',
        UnicodeCategory.CurrencySymbol => '\u00A2',
        UnicodeCategory.ModifierSymbol => '\u00A8',
        UnicodeCategory.OtherSymbol => '\u00A6',
        UnicodeCategory.Format => '\u00AD',
        UnicodeCategory.PrivateUse => '\uE000',
        _ => '\uFFFF',
    };
}
