using System.Text;
using NativeLM.Engine.Tokenization;

namespace NativeLM.Engine;

/// <summary>
/// Turns ids into text one at a time. What it returns never ends inside a code point, and all that it returned, joined, equals the decoding of
/// all ids at once. Ill-formed bytes become U+FFFD, one per maximal ill-formed stretch. One thread at a time; allocates only while its buffer grows.
/// </summary>
public sealed class IncrementalDetokenizer
{
    private readonly TokenTable _texts;
    private readonly bool[]? _skip; // by id
    private byte[] _bytes = new byte[64];
    private int _byteCount; // the first 0 to 3: an incomplete code point
    private char[] _chars = new char[64];
    private bool _stripSpace;

    internal IncrementalDetokenizer(TokenTable texts, bool[]? skip, bool stripLeadingSpace)
    {
        _texts = texts;
        _skip = skip;
        _stripSpace = stripLeadingSpace;
    }

    /// <summary>Whether bytes of an incomplete code point are held back.</summary>
    public bool HoldsBack => _byteCount > 0;

    /// <summary>Adds a token and returns the text that is now complete, often none. Valid until the next call.</summary>
    /// <param name="id">A token id; one outside the vocabulary (a padded row of the embedding) has no text.</param>
    public ReadOnlySpan<char> Append(int id)
    {
        if ((uint)id >= (uint)_texts.Count || (_skip is not null && _skip[id]))
            return default;
        ReadOnlySpan<byte> text = _texts[id];
        if (text.IsEmpty)
            return default;
        if (_byteCount + text.Length > _bytes.Length)
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _byteCount + text.Length));
        text.CopyTo(_bytes.AsSpan(_byteCount));
        _byteCount += text.Length;
        return Decode(atEnd: false);
    }

    /// <summary>Ends the text: an incomplete code point becomes U+FFFD. Valid until the next call.</summary>
    public ReadOnlySpan<char> Finish() => _byteCount == 0 ? default : Decode(atEnd: true);

    private ReadOnlySpan<char> Decode(bool atEnd)
    {
        if (_byteCount > _chars.Length) // never more UTF-16 units than bytes
            _chars = new char[_bytes.Length];
        int complete = atEnd ? _byteCount : CompleteLength(_bytes.AsSpan(0, _byteCount));
        int count = Encoding.UTF8.GetChars(_bytes.AsSpan(0, complete), _chars);
        _bytes.AsSpan(complete, _byteCount - complete).CopyTo(_bytes);
        _byteCount -= complete;
        ReadOnlySpan<char> text = _chars.AsSpan(0, count);
        if (_stripSpace && count > 0)
        {
            _stripSpace = false;
            if (text[0] == ' ')
                text = text[1..];
        }
        return text;
    }

    /// <summary>Length without the incomplete but so far well-formed code point at the end.</summary>
    private static int CompleteLength(ReadOnlySpan<byte> bytes)
    {
        for (int tail = 1; tail <= Math.Min(3, bytes.Length); tail++)
        {
            byte value = bytes[^tail];
            if ((value & 0xC0) == 0x80)
                continue;
            bool incomplete = value >= 0xC2
                && Rune.DecodeFromUtf8(bytes[^tail..], out _, out _) == System.Buffers.OperationStatus.NeedMoreData;
            return incomplete ? bytes.Length - tail : bytes.Length;
        }
        return bytes.Length;
    }
}
