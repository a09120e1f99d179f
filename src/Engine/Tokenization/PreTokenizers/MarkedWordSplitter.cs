namespace NativeLM.Engine.Tokenization;

/// <summary>
/// Splits text whose spaces are written as a mark (U+2581). Either before every mark, as Metaspace does, or before every run of marks:
/// the latter changes no result where no token holds a mark after other text, and turns one huge piece into words.
/// </summary>
internal sealed class MarkedWordSplitter(char mark, bool atRunsOnly) : PieceSplitter
{
    /// <inheritdoc/>
    public override void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends)
    {
        for (int at = start; at < end;)
        {
            int skip = 1;
            while (atRunsOnly && at + skip < end && text[at + skip - 1] == mark && text[at + skip] == mark)
                skip++;
            int next = text[(at + skip)..end].IndexOf(mark);
            at = next < 0 ? end : at + skip + next;
            ends.Add(at);
        }
    }
}
