using System.Buffers;
using System.Diagnostics;
using System.Text;

namespace NativeLM.Engine.Tokenization;

/// <summary>
/// Byte-pair encoding of one piece of text: always the merge of lowest rank, leftmost first (Sennrich et al. 2016), in O(n log n).
/// Starts from bytes (byte-level vocabularies) or from code points with byte fallback (SentencePiece-style ones). Immutable; any thread.
/// </summary>
internal sealed class BytePairModel
{
    // Below this many symbols a linear scan for the best pair beats the heap.
    private const int SmallPiece = 40;

    private readonly TokenTable _keys;
    private readonly MergeTable _merges;
    private readonly BytePairRules _rules;

    // What is known of whole-piece hits: 0 nothing, 1 merging gives this very token, 2 it gives others. Races write equal values.
    private readonly byte[] _mergesToItself;

    public BytePairModel(TokenTable keys, MergeTable merges, BytePairRules rules)
    {
        _keys = keys;
        _merges = merges;
        _rules = rules;
        _mergesToItself = new byte[keys.Count];
    }

    /// <summary>A lower bound of the number of tokens for so many bytes of text.</summary>
    public int MinTokens(int utf8Bytes) => utf8Bytes / Math.Max(1, _keys.LongestIndexed);

    /// <summary>Appends the tokens of one piece. Nothing merges across pieces.</summary>
    /// <param name="piece">UTF-8 text of the piece, as the vocabulary spells it.</param>
    /// <param name="ids">Receives the tokens.</param>
    public void Encode(ReadOnlySpan<byte> piece, List<int> ids)
    {
        int whole = _keys.Find(piece);
        if (whole >= 0 && (_rules.IgnoreMerges || _mergesToItself[whole] == 1))
        {
            ids.Add(whole);
            return;
        }
        int before = ids.Count;
        if (piece.Length <= SmallPiece)
            EncodeSmall(piece, ids);
        else
            EncodeLarge(piece, ids);
        if (whole >= 0)
            _mergesToItself[whole] = (byte)(ids.Count == before + 1 && ids[before] == whole ? 1 : 2);
    }

    private void EncodeSmall(ReadOnlySpan<byte> piece, List<int> ids)
    {
        Span<int> symbols = stackalloc int[SmallPiece];
        Span<int> ranks = stackalloc int[SmallPiece]; // of the pair (i, i + 1)
        Span<int> merged = stackalloc int[SmallPiece];
        int count = FirstSymbols(piece, symbols);
        for (int i = 0; i + 1 < count; i++)
            (ranks[i], merged[i]) = _merges.Find(symbols[i], symbols[i + 1]);
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i < count - 1; i++)
                if (ranks[i] < ranks[best])
                    best = i;
            if (ranks[best] == MergeTable.Never)
                break;
            symbols[best] = merged[best];
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            ranks[(best + 1)..(count - 1)].CopyTo(ranks[best..]);
            merged[(best + 1)..(count - 1)].CopyTo(merged[best..]);
            count--;
            if (best + 1 < count)
                (ranks[best], merged[best]) = _merges.Find(symbols[best], symbols[best + 1]);
            if (best > 0)
                (ranks[best - 1], merged[best - 1]) = _merges.Find(symbols[best - 1], symbols[best]);
        }
        for (int i = 0; i < count; i++)
            ids.Add(symbols[i]);
    }

    private void EncodeLarge(ReadOnlySpan<byte> piece, List<int> ids)
    {
        int[] symbols = ArrayPool<int>.Shared.Rent(piece.Length);
        int[] next = ArrayPool<int>.Shared.Rent(piece.Length + 1);
        int[] previous = ArrayPool<int>.Shared.Rent(piece.Length + 1);
        var heap = new MergeHeap(piece.Length);
        try
        {
            int count = FirstSymbols(piece, symbols);
            for (int i = 0; i < count; i++)
            {
                next[i] = i + 1;
                previous[i] = i - 1;
                if (i + 1 < count && _merges.Find(symbols[i], symbols[i + 1]).Rank is int rank and not MergeTable.Never)
                    heap.Append(rank, i);
            }
            heap.Heapify();
            while (heap.TryPop(out int rank, out int at))
            {
                // An entry is stale when its left symbol is gone or its pair has changed since.
                int right = symbols[at] < 0 ? count : next[at];
                if (right >= count || _merges.Find(symbols[at], symbols[right]) is var merge && merge.Rank != rank)
                    continue;
                symbols[at] = merge.Id;
                symbols[right] = -1;
                next[at] = next[right];
                if (next[at] < count)
                    previous[next[at]] = at;
                PushPair(ref heap, symbols, at, next[at], count);
                PushPair(ref heap, symbols, previous[at], at, count);
            }
            for (int i = 0; i < count; i = next[i])
                ids.Add(symbols[i]);
        }
        finally
        {
            heap.Dispose();
            ArrayPool<int>.Shared.Return(symbols);
            ArrayPool<int>.Shared.Return(next);
            ArrayPool<int>.Shared.Return(previous);
        }
    }

    private void PushPair(ref MergeHeap heap, int[] symbols, int left, int right, int count)
    {
        if (left >= 0 && right < count && _merges.Find(symbols[left], symbols[right]).Rank is int rank and not MergeTable.Never)
            heap.Push(rank, left);
    }

    /// <summary>The symbols merging starts from: at most one per byte of the piece.</summary>
    private int FirstSymbols(ReadOnlySpan<byte> piece, Span<int> symbols)
    {
        int count = 0;
        if (_rules.ByteSymbols is { } bytes)
        {
            foreach (byte value in piece)
                Add(bytes[value], symbols, ref count);
            return count;
        }
        while (!piece.IsEmpty)
        {
            Rune.DecodeFromUtf8(piece, out _, out int length);
            int id = _keys.Find(piece[..length]);
            if (id < 0 && _rules.ByteFallback is { } fallback)
                foreach (byte value in piece[..length])
                    Add(fallback[value], symbols, ref count);
            else
                Add(id, symbols, ref count);
            piece = piece[length..];
        }
        return count;
    }

    private void Add(int id, Span<int> symbols, ref int count)
    {
        if (id < 0)
        {
            // A vocabulary without the symbol and without <unk> drops it, as Hugging Face does.
            id = _rules.UnknownId;
            if (id < 0 || (_rules.FuseUnknown && count > 0 && symbols[count - 1] == id))
                return;
        }
        Debug.Assert(count < symbols.Length);
        symbols[count++] = id;
    }
}
