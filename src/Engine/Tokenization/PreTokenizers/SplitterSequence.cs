namespace NativeLM.Engine.Tokenization;

/// <summary>Splitters applied one after the other, each to the pieces of the one before.</summary>
internal sealed class SplitterSequence(IReadOnlyList<PieceSplitter> steps) : PieceSplitter
{
    /// <inheritdoc/>
    public override void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends)
    {
        var coarse = new List<int> { end };
        foreach (PieceSplitter step in steps)
        {
            var fine = new List<int>(coarse.Count);
            int from = start;
            foreach (int to in coarse)
            {
                step.Split(text, from, to, fine);
                from = to;
            }
            coarse = fine;
        }
        ends.AddRange(coarse);
    }
}
