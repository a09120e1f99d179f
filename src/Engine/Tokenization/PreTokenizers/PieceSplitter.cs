using Microsoft.ML.Tokenizers;

namespace NativeLM.Engine.Tokenization;

/// <summary>Cuts text into pieces that are encoded apart: nothing merges across their borders. Pieces are adjacent and cover the text. Any thread.</summary>
internal abstract class PieceSplitter : PreTokenizer
{
    /// <summary>Appends the end of each piece of text[start..end], in order; the last one is <paramref name="end"/>. Linear time.</summary>
    public abstract void Split(ReadOnlySpan<char> text, int start, int end, List<int> ends);

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text) => Pieces(text);

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => Pieces(text);

    private List<(int Offset, int Length)> Pieces(ReadOnlySpan<char> text)
    {
        var ends = new List<int>();
        Split(text, 0, text.Length, ends);
        var pieces = new List<(int, int)>(ends.Count);
        int start = 0;
        foreach (int end in ends)
        {
            pieces.Add((start, end - start));
            start = end;
        }
        return pieces;
    }
}
