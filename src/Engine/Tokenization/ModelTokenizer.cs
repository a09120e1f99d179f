using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.Tokenizers;
using NativeLM.Engine.Tokenization;

namespace NativeLM.Engine;

/// <summary>
/// The tokenizer of a model: text to ids and back, with added tokens, BOS and EOS as the model's files define them. Immutable; any thread.
/// </summary>
public sealed class ModelTokenizer
{
    private readonly BytePairTokenizer _tokenizer;
    private readonly TokenTable _texts;
    private readonly AddedTokens _addedInRaw;
    private readonly AddedTokens _addedInNormalized;
    private readonly IReadOnlyDictionary<string, int> _idsByText;
    private readonly bool[] _special; // by id
    private readonly bool[] _control; // by id
    private readonly int[] _prefix;
    private readonly int[] _suffix;
    private readonly bool _stripLeadingSpace;

    internal ModelTokenizer(TokenizerParts parts, TokenizerConfig config)
    {
        _tokenizer = parts.Tokenizer;
        _texts = parts.Texts;
        _idsByText = parts.IdsByText;
        _stripLeadingSpace = parts.StripLeadingSpace;
        // Control tokens are always sought in the text as given, so that a normalizer cannot hide or make one.
        _addedInRaw = new AddedTokens(parts.Added.Where(token => token.IsControl || !token.Normalized));
        _addedInNormalized = new AddedTokens(parts.Added.Where(token => !token.IsControl && token.Normalized)
            .Select(token => token with { Content = NormalizedContent(token.Content) }));
        _special = new bool[_texts.Count];
        _control = new bool[_texts.Count];
        foreach (AddedToken token in parts.Added)
        {
            _special[token.Id] |= token.Special;
            _control[token.Id] |= token.IsControl;
        }
        BosId = IdOf(config.TextOf("bos_token"));
        EosId = IdOf(config.TextOf("eos_token"));
        PadId = IdOf(config.TextOf("pad_token"));
        _prefix = WithToken(parts.Prefix, BosId, config.AddBos, atStart: true);
        _suffix = WithToken(parts.Suffix, EosId, config.AddEos, atStart: false);
        BosId ??= _prefix.Length > 0 ? _prefix[0] : null;
    }

    /// <summary>The package's view of the model: no added tokens, no BOS.</summary>
    public Tokenizer Tokenizer => _tokenizer;

    /// <summary>Number of ids: one more than the largest. The embedding table may have more rows.</summary>
    public int VocabularySize => _texts.Count;

    /// <summary>Begin-of-text token, if the model has one.</summary>
    public int? BosId { get; }

    /// <summary>End-of-text token that the tokenizer's files name; generation_config.json may name others.</summary>
    public int? EosId { get; }

    /// <summary>Padding token, if any.</summary>
    public int? PadId { get; }

    /// <summary>Whether <see cref="Encode"/> with special tokens begins with <see cref="BosId"/>.</summary>
    public bool AddsBos => BosId is int bos && _prefix.Contains(bos);

    /// <summary>Reads tokenizer.json, tokenizer_config.json and special_tokens_map.json of a model folder.</summary>
    /// <exception cref="TokenizerFormatException">A file is absent, breaks a rule, or uses a step that is not supported.</exception>
    public static ModelTokenizer Load(string folder)
    {
        string file = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(file))
            throw new TokenizerFormatException(file, "is absent; needed the tokenizer.json of the model (convert other formats with transformers)");
        TokenizerConfig config = TokenizerConfig.Load(folder);
        return new ModelTokenizer(TokenizerJson.Load(file, config), config);
    }

    /// <summary>Builds a tokenizer from the text of tokenizer.json and, optionally, of tokenizer_config.json.</summary>
    /// <exception cref="TokenizerFormatException">A text breaks a rule, or uses a step that is not supported.</exception>
    public static ModelTokenizer Parse(string tokenizerJson, string? tokenizerConfigJson = null)
    {
        TokenizerConfig config = TokenizerConfig.Parse(tokenizerConfigJson ?? "{}", "tokenizer_config.json");
        return new ModelTokenizer(TokenizerJson.Parse(tokenizerJson, "tokenizer.json", config), config);
    }

    /// <summary>Text to ids.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecialTokens">Whether to add what the model wants around a prompt (BOS, EOS).</param>
    /// <param name="parseSpecialTokens">Whether texts such as &lt;|im_end|&gt; become control tokens. False for anything users wrote.</param>
    /// <param name="maxTokenCount">Stop soon after this many; a longer result means the text has more. Keeps hostile input cheap.</param>
    public int[] Encode(string text, bool addSpecialTokens = true, bool parseSpecialTokens = true, int maxTokenCount = int.MaxValue)
    {
        ReadOnlySpan<(int, int)> everything = [(0, text.Length)];
        return EncodeText(text, addSpecialTokens, new ContentRanges(parseSpecialTokens ? default : everything), maxTokenCount);
    }

    /// <summary>
    /// A rendered chat to ids. Words run across the borders of segments as if the text were one, but a control token arises only where all of
    /// its text came from the template. Adds no BOS: the template writes it.
    /// </summary>
    /// <param name="prompt">The rendered chat.</param>
    /// <param name="maxTokenCount">As for <see cref="Encode"/>.</param>
    public int[] EncodeSegments(RenderedPrompt prompt, int maxTokenCount = int.MaxValue)
    {
        var content = new List<(int, int)>();
        int start = 0;
        foreach (PromptSegment segment in prompt.Segments)
        {
            if (segment.IsContent)
                content.Add((start, start + segment.Text.Length));
            start += segment.Text.Length;
        }
        return EncodeText(prompt.Text, addSpecialTokens: false, new ContentRanges(CollectionsMarshal.AsSpan(content)), maxTokenCount);
    }

    /// <summary>Ids to text. Ids outside the vocabulary have no text.</summary>
    /// <param name="ids">The ids.</param>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        var builder = new StringBuilder(ids.Length * 4);
        IncrementalDetokenizer detokenizer = CreateDetokenizer(skipSpecialTokens);
        foreach (int id in ids)
            builder.Append(detokenizer.Append(id));
        return builder.Append(detokenizer.Finish()).ToString();
    }

    /// <summary>A decoder for ids that come one at a time.</summary>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    /// <param name="continuesText">Whether text stands before the first id (<see cref="HasText"/> of the prompt): then a leading space is kept.</param>
    public IncrementalDetokenizer CreateDetokenizer(bool skipSpecialTokens, bool continuesText = false) =>
        new(_texts, skipSpecialTokens ? _special : null, _stripLeadingSpace && !continuesText);

    /// <summary>Whether any of <paramref name="ids"/> is more than a special token, so that what follows continues a text.</summary>
    public bool HasText(ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            if ((uint)id < (uint)_texts.Count && !_special[id] && !_texts[id].IsEmpty)
                return true;
        return false;
    }

    /// <summary>UTF-8 bytes that a token adds to a text; may be part of a code point, and is empty for ids without text.</summary>
    public ReadOnlyMemory<byte> TokenBytes(int id) => (uint)id < (uint)_texts.Count ? _texts.Memory(id) : default;

    /// <summary>Text of one token; U+FFFD for bytes that are no whole code point.</summary>
    public string TokenText(int id) => Encoding.UTF8.GetString(TokenBytes(id).Span);

    /// <summary>Whether the model's files call this token special.</summary>
    public bool IsSpecial(int id) => (uint)id < (uint)_special.Length && _special[id];

    /// <summary>Whether text from users never becomes this token: special ones and markup such as &lt;think&gt;.</summary>
    public bool IsControl(int id) => (uint)id < (uint)_control.Length && _control[id];

    /// <summary>Id of a token by the text the model's files give it, or null.</summary>
    public int? IdOf(string? token) => token is not null && _idsByText.TryGetValue(token, out int id) ? id : null;

    private int[] EncodeText(string text, bool addSpecialTokens, ContentRanges content, int maxTokenCount)
    {
        var ids = new List<int>(Math.Min(maxTokenCount, text.Length / 4) + 16);
        if (addSpecialTokens)
            ids.AddRange(_prefix);
        int start = 0;
        while (ids.Count <= maxTokenCount)
        {
            bool found = _addedInRaw.TryFind(text, start, ref content, out AddedTokenMatch match);
            EncodeSection(text[start..(found ? match.Start : text.Length)], start == 0, ids, maxTokenCount);
            if (!found)
                break;
            ids.Add(match.Id);
            start = match.End;
        }
        if (addSpecialTokens)
            ids.AddRange(_suffix);
        return [.. ids];
    }

    private void EncodeSection(string section, bool atStart, List<int> ids, int maxTokenCount)
    {
        if (section.Length == 0)
            return;
        ReadOnlySpan<char> text = _tokenizer.Normalize(section, atStart);
        if (_addedInNormalized.IsEmpty)
        {
            _tokenizer.EncodeNormalized(text, ids, maxTokenCount);
            return;
        }
        ContentRanges none = default;
        int start = 0;
        while (ids.Count <= maxTokenCount)
        {
            bool found = _addedInNormalized.TryFind(text, start, ref none, out AddedTokenMatch match);
            _tokenizer.EncodeNormalized(text[start..(found ? match.Start : text.Length)], ids, maxTokenCount);
            if (!found)
                return;
            ids.Add(match.Id);
            start = match.End;
        }
    }

    private string NormalizedContent(string content) => _tokenizer.Normalize(content, atStart: false) is { Length: > 0 } normalized ? normalized : content;

    private static int[] WithToken(int[] ids, int? token, bool? wanted, bool atStart)
    {
        if (token is not int id || wanted is not bool add || ids.Contains(id) == add)
            return ids;
        if (!add)
            return [.. ids.Where(other => other != id)];
        return atStart ? [id, .. ids] : [.. ids, id];
    }
}
