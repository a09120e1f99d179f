using System.Buffers;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace NativeLM.Engine.Tokenization;

/// <summary>
/// A byte-pair model with its normalizer and splitter, as a tokenizer of the package. Knows nothing of added tokens or of a post-processor:
/// those are <see cref="ModelTokenizer"/>'s. Immutable; any thread.
/// </summary>
internal sealed class BytePairTokenizer : Tokenizer
{
    private readonly BytePairModel _model;
    private readonly TextNormalizer? _normalizer;
    private readonly PieceSplitter? _splitter;
    private readonly TokenTable _texts;

    /// <param name="model">The merges.</param>
    /// <param name="normalizer">Rewrites each section; null: text as given.</param>
    /// <param name="splitter">Cuts it into pieces; null: one piece.</param>
    /// <param name="texts">UTF-8 text of each id when decoded.</param>
    public BytePairTokenizer(BytePairModel model, TextNormalizer? normalizer, PieceSplitter? splitter, TokenTable texts)
    {
        _model = model;
        _normalizer = normalizer;
        _splitter = splitter;
        _texts = texts;
    }

    /// <inheritdoc/>
    public override Normalizer? Normalizer => _normalizer;

    /// <inheritdoc/>
    public override PreTokenizer? PreTokenizer => _splitter;

    /// <summary>The section as the model's vocabulary spells it.</summary>
    public string Normalize(string section, bool atStart) => _normalizer is null ? section : _normalizer.Apply(section, atStart);

    /// <summary>Appends the tokens of normalized text; stops early once there are more than <paramref name="maxCount"/> ids.</summary>
    public void EncodeNormalized(ReadOnlySpan<char> text, List<int> ids, int maxCount)
    {
        if (text.IsEmpty)
            return;
        if (_splitter is null)
        {
            EncodePiece(text, ids, maxCount);
            return;
        }
        var ends = new List<int>(text.Length / 4 + 1);
        _splitter.Split(text, 0, text.Length, ends);
        int start = 0;
        foreach (int end in ends)
        {
            EncodePiece(text[start..end], ids, maxCount);
            if (ids.Count > maxCount)
                return;
            start = end;
        }
    }

    private void EncodePiece(ReadOnlySpan<char> piece, List<int> ids, int maxCount)
    {
        const int StackBytes = 192;
        if (piece.Length * 3 <= StackBytes)
        {
            Span<byte> bytes = stackalloc byte[StackBytes];
            _model.Encode(bytes[..Encoding.UTF8.GetBytes(piece, bytes)], ids);
            return;
        }
        byte[] rented = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(piece.Length));
        try
        {
            int length = Encoding.UTF8.GetBytes(piece, rented);
            // A piece that is too long for the limit whatever its merges is not merged: some ids stand for "too many".
            if (_model.MinTokens(length) + (long)ids.Count > maxCount)
                while (ids.Count <= maxCount)
                    ids.Add(0);
            else
                _model.Encode(rented.AsSpan(0, length), ids);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <inheritdoc/>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        string source = text ?? textSpan.ToString();
        string normalized = settings.ConsiderNormalization ? Normalize(source, atStart: true) : source;
        var ends = new List<int>();
        if (_splitter is not null && settings.ConsiderPreTokenization)
            _splitter.Split(normalized, 0, normalized.Length, ends);
        else if (normalized.Length > 0)
            ends.Add(normalized.Length);
        var tokens = new List<EncodedToken>();
        var ids = new List<int>();
        int start = 0;
        foreach (int end in ends)
        {
            ids.Clear();
            EncodePiece(normalized.AsSpan(start..end), ids, int.MaxValue);
            if (tokens.Count + ids.Count > settings.MaxTokenCount)
                break;
            AddTokens(ids, normalized, start, end, tokens);
            start = end;
        }
        return new EncodeResults<EncodedToken> { Tokens = tokens, NormalizedText = normalized, CharsConsumed = start };
    }

    /// <inheritdoc/>
    protected override EncodeResults<int> EncodeToIds(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        EncodeResults<EncodedToken> results = EncodeToTokens(text, textSpan, settings);
        return new EncodeResults<int>
        {
            Tokens = [.. results.Tokens.Select(token => token.Id)],
            NormalizedText = results.NormalizedText,
            CharsConsumed = results.CharsConsumed,
        };
    }

    // A token that ends inside a code point (byte-level vocabularies) covers it up to its end; the next one begins there.
    private void AddTokens(List<int> ids, string text, int start, int end, List<EncodedToken> tokens)
    {
        int bytes = 0, chars = start, charBytes = 0;
        for (int i = 0; i < ids.Count; i++)
        {
            bytes += _texts[ids[i]].Length;
            int from = chars;
            while (chars < end && (charBytes < bytes || i == ids.Count - 1))
            {
                Rune.DecodeFromUtf16(text.AsSpan(chars..end), out Rune rune, out int length);
                // The mark that stands for a space is one byte in decoded text.
                charBytes += rune.Value == '\u2581' ? 1 : rune.Utf8SequenceLength;
                chars += length;
            }
            tokens.Add(new EncodedToken(ids[i], Encoding.UTF8.GetString(_texts[ids[i]]), new Range(from, chars)));
        }
    }

    /// <inheritdoc/>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        var detokenizer = new IncrementalDetokenizer(_texts, skip: null, stripLeadingSpace: false);
        idsConsumed = charsWritten = 0;
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)_texts.Count)
                return OperationStatus.InvalidData;
            ReadOnlySpan<char> text = detokenizer.Append(id);
            if (!text.TryCopyTo(destination[charsWritten..]))
                return OperationStatus.DestinationTooSmall;
            charsWritten += text.Length;
            idsConsumed++;
        }
        ReadOnlySpan<char> rest = detokenizer.Finish();
        if (!rest.TryCopyTo(destination[charsWritten..]))
            return OperationStatus.DestinationTooSmall;
        charsWritten += rest.Length;
        return OperationStatus.Done;
    }

    /// <inheritdoc/>
    public override string Decode(IEnumerable<int> ids)
    {
        var builder = new StringBuilder();
        var detokenizer = new IncrementalDetokenizer(_texts, skip: null, stripLeadingSpace: false);
        foreach (int id in ids)
            builder.Append(detokenizer.Append(id));
        return builder.Append(detokenizer.Finish()).ToString();
    }
}
