using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NativeLM.Engine.Tokenization;

/// <summary>
/// Reads Hugging Face's tokenizer.json: vocabulary, merges, added tokens and the pipeline around them. What it does not know it refuses by
/// name; truncation and padding are the server's business and are ignored.
/// </summary>
internal sealed class TokenizerJson
{
    /// <summary>Largest file read.</summary>
    public const long MaxFileBytes = 100_000_000;

    /// <summary>Ids are below this.</summary>
    public const int MaxIds = 1 << 24;

    private readonly string _file;
    private readonly JsonElement _root;
    private readonly List<AddedToken> _added = [];
    private readonly Dictionary<string, int> _vocabulary = [];
    private string?[] _texts = []; // by id, as the file spells them

    private TokenizerJson(JsonElement root, string file)
    {
        _root = root;
        _file = file;
    }

    /// <summary>Reads the file.</summary>
    /// <exception cref="TokenizerFormatException">It breaks a rule or uses a step that is not supported.</exception>
    public static TokenizerParts Load(string file, TokenizerConfig config)
    {
        using JsonDocument document = JsonFile.Open(file, MaxFileBytes);
        return new TokenizerJson(document.RootElement, file).Read(config);
    }

    /// <summary>Reads JSON text that came from <paramref name="file"/>.</summary>
    public static TokenizerParts Parse(string json, string file, TokenizerConfig config)
    {
        using JsonDocument document = JsonFile.Parse(json, file);
        return new TokenizerJson(document.RootElement, file).Read(config);
    }

    /// <summary>One entry of added_tokens or added_tokens_decoder.</summary>
    public static AddedToken ReadAddedToken(JsonElement element, int id, string file)
    {
        if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("content", out JsonElement content))
            throw new TokenizerFormatException(file, $"added token {id}: needed an object with 'content'");
        string text = JsonFile.String(content, file);
        if (text.Length is 0 or > 4096)
            throw new TokenizerFormatException(file, $"added token {id}: needed a text of 1 to 4096 characters, found {text.Length}");
        if ((uint)id >= MaxIds)
            throw new TokenizerFormatException(file, $"added token '{text}': needed an id in [0, {MaxIds}), found {id}");
        bool Flag(string name) => element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;
        return new AddedToken
        {
            Id = id,
            Content = text,
            Special = Flag("special"),
            SingleWord = Flag("single_word"),
            StripLeft = Flag("lstrip"),
            StripRight = Flag("rstrip"),
            Normalized = Flag("normalized"),
        };
    }

    private TokenizerParts Read(TokenizerConfig config)
    {
        if (_root.ValueKind != JsonValueKind.Object)
            throw Error($"needed a JSON object, found {_root.ValueKind}");
        JsonElement model = Member(_root, "model", JsonValueKind.Object);
        string type = Text(model, "type") ?? (model.TryGetProperty("merges", out _) ? "BPE" : "unknown");
        if (type != "BPE")
            throw Error($"model type '{type}' is not supported; needed BPE");
        ReadAddedTokens(config);
        ReadVocabulary(model);

        var pipeline = new TokenizerPipeline(_file, _root);
        bool byteLevel = pipeline.IsByteLevel;
        TokenTable keys = BuildKeys(byteLevel);
        (MergeTable merges, bool marksLeadOnly) = ReadMerges(model);
        BytePairRules rules = ReadRules(model, keys, byteLevel);
        TokenTable texts = BuildTexts(byteLevel, pipeline);
        var bytePair = new BytePairTokenizer(
            new BytePairModel(keys, merges, rules), pipeline.Normalizer, pipeline.Splitter ?? WordsOfMarkedText(byteLevel, marksLeadOnly), texts);
        return new TokenizerParts
        {
            File = _file,
            Tokenizer = bytePair,
            Texts = texts,
            Added = _added,
            IdsByText = _vocabulary,
            Prefix = pipeline.ReadPrefix(Resolve, out int[] suffix),
            Suffix = suffix,
            StripLeadingSpace = pipeline.StripLeadingSpace,
        };
    }

    private void ReadAddedTokens(TokenizerConfig config)
    {
        var ids = new HashSet<int>();
        if (_root.TryGetProperty("added_tokens", out JsonElement list) && list.ValueKind != JsonValueKind.Null)
        {
            foreach (JsonElement element in Elements(list, "added_tokens"))
            {
                if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("id", out JsonElement idElement))
                    throw Error("added_tokens: needed objects with 'id'");
                AddedToken token = ReadAddedToken(element, Id(idElement, "added token"), _file);
                if (!ids.Add(token.Id))
                    throw Error($"added_tokens: id {token.Id} occurs twice");
                _added.Add(token);
            }
        }
        var texts = _added.Select(token => token.Content).ToHashSet(StringComparer.Ordinal);
        if (texts.Count != _added.Count)
            throw Error("added_tokens: a text occurs twice");
        foreach (AddedToken token in config.AddedTokens)
            if (!ids.Contains(token.Id) && texts.Add(token.Content) && ids.Add(token.Id))
                _added.Add(token);
    }

    private void ReadVocabulary(JsonElement model)
    {
        JsonElement vocab = Member(model, "vocab", JsonValueKind.Object);
        var entries = new List<(string Text, int Id)>();
        int last = -1;
        foreach (JsonProperty entry in vocab.EnumerateObject())
        {
            int id = Id(entry.Value, "vocabulary entry");
            entries.Add((PropertyName(entry), id));
            last = Math.Max(last, id);
        }
        foreach (AddedToken token in _added)
            last = Math.Max(last, token.Id);
        int count = last + 1;
        // Tables are sized by the largest id, so a few entries must not ask for millions of rows.
        if (count > 2L * (entries.Count + _added.Count) + 1024)
            throw Error($"ids are too sparse: {entries.Count + _added.Count} tokens, but the largest id is {last}");
        _texts = new string?[count];
        foreach ((string text, int id) in entries)
        {
            if (_texts[id] is string other)
                throw Error($"model.vocab: id {id} belongs to both '{Shown(other)}' and '{Shown(text)}'");
            if (!_vocabulary.TryAdd(text, id))
                throw Error($"model.vocab: '{Shown(text)}' occurs twice");
            _texts[id] = text;
        }
        foreach (AddedToken token in _added)
        {
            // An added token renames the row of its id; the model no longer produces the old text.
            if (_texts[token.Id] is string old && old != token.Content)
                _vocabulary.Remove(old);
            if (_vocabulary.TryGetValue(token.Content, out int twin) && twin != token.Id)
                throw Error($"added token '{Shown(token.Content)}' has id {token.Id}, but model.vocab gives it {twin}");
            _texts[token.Id] = token.Content;
            _vocabulary[token.Content] = token.Id;
        }
    }

    private (MergeTable Merges, bool MarksLeadOnly) ReadMerges(JsonElement model)
    {
        JsonElement list = Member(model, "merges", JsonValueKind.Array);
        var merges = new MergeTable(list.GetArrayLength());
        var control = ControlIds();
        bool marksLeadOnly = true;
        int rank = 0;
        foreach (JsonElement merge in list.EnumerateArray())
        {
            (string left, string right) = ReadMerge(merge, rank);
            if (left.Length == 0 || right.Length == 0)
                throw Error($"model.merges[{rank}]: needed two non-empty parts");
            int leftId = Part(left, rank), rightId = Part(right, rank), id = Part(left + right, rank);
            // No text may merge into a control token, whatever the file says.
            if (!control.Contains(id))
                merges.Add(leftId, rightId, rank, id);
            marksLeadOnly &= right[0] != '\u2581' || left.AsSpan().IndexOfAnyExcept('\u2581') < 0;
            rank++;
        }
        return (merges, marksLeadOnly);
    }

    private (string Left, string Right) ReadMerge(JsonElement merge, int rank)
    {
        if (merge.ValueKind == JsonValueKind.String)
        {
            string text = JsonFile.String(merge, _file);
            int space = text.IndexOf(' ', StringComparison.Ordinal);
            if (space < 0 || text.IndexOf(' ', space + 1) >= 0)
                throw Error($"model.merges[{rank}]: needed two parts with one space between, found '{Shown(text)}'");
            return (text[..space], text[(space + 1)..]);
        }
        if (merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2)
            return (JsonFile.String(merge[0], _file), JsonFile.String(merge[1], _file));
        throw Error($"model.merges[{rank}]: needed a string or two strings, found {merge.ValueKind}");
    }

    private int Part(string text, int rank) => _vocabulary.TryGetValue(text, out int id)
        ? id
        : throw Error($"model.merges[{rank}]: '{Shown(text)}' is not in the vocabulary");

    private BytePairRules ReadRules(JsonElement model, TokenTable keys, bool byteLevel)
    {
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            if (Text(model, affix) is { Length: > 0 } value)
                throw Error($"model.{affix} '{Shown(value)}' is not supported");
        if (model.TryGetProperty("dropout", out JsonElement dropout) && dropout.ValueKind == JsonValueKind.Number && dropout.GetDouble() > 0)
            throw Error("model.dropout is for training; needed null or 0");
        return new BytePairRules
        {
            ByteSymbols = byteLevel ? [.. Enumerable.Range(0, 256).Select(value => keys.Find([(byte)value]))] : null,
            ByteFallback = !byteLevel && Flag(model, "byte_fallback") ? ReadByteTokens() : null,
            UnknownId = Text(model, "unk_token") is string unknown && _vocabulary.TryGetValue(unknown, out int id) ? id : -1,
            FuseUnknown = Flag(model, "fuse_unk"),
            IgnoreMerges = Flag(model, "ignore_merges"),
        };
    }

    private int[]? ReadByteTokens()
    {
        var ids = new int[256];
        for (int value = 0; value < 256; value++)
            if (!_vocabulary.TryGetValue(ByteToken(value), out ids[value]))
                return null;
        return ids;
    }

    private static string ByteToken(int value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    /// <summary>What merging works on: bytes for byte-level vocabularies, else UTF-8. Control tokens are not in the index.</summary>
    private TokenTable BuildKeys(bool byteLevel)
    {
        HashSet<int> control = ControlIds();
        var keys = new byte[]?[_texts.Length];
        for (int id = 0; id < keys.Length; id++)
            keys[id] = _texts[id] is not string text || control.Contains(id) ? null : byteLevel ? ByteAlphabet.ToBytes(text) : Encoding.UTF8.GetBytes(text);
        foreach (AddedToken token in _added)
            keys[token.Id] = token.IsControl || byteLevel ? null : keys[token.Id];
        TokenTable table = TokenTable.Build(keys);
        table.Index(_ => true);
        return table;
    }

    private HashSet<int> ControlIds() => [.. _added.Where(token => token.IsControl).Select(token => token.Id)];

    /// <summary>What decoding gives for each id.</summary>
    private TokenTable BuildTexts(bool byteLevel, TokenizerPipeline pipeline)
    {
        bool[] isAdded = new bool[_texts.Length];
        foreach (AddedToken token in _added)
            isAdded[token.Id] = true;
        var texts = new byte[]?[_texts.Length];
        for (int id = 0; id < texts.Length; id++)
        {
            if (_texts[id] is not string text)
                continue;
            if (byteLevel)
                texts[id] = (isAdded[id] ? null : ByteAlphabet.ToBytes(text)) ?? Encoding.UTF8.GetBytes(text);
            else if (pipeline.DecodesByteTokens && ByteOf(text) is int value)
                texts[id] = [(byte)value];
            else
                texts[id] = Encoding.UTF8.GetBytes(pipeline.DecodedText(text));
        }
        return TokenTable.Build(texts);
    }

    private static int? ByteOf(string text) =>
        text.Length == 6 && text.StartsWith("<0x", StringComparison.Ordinal) && text[5] == '>'
            && int.TryParse(text.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value) ? value : null;

    // Without a pre-tokenizer the whole text is one piece. Where no token holds a mark after other text, words give the same ids, faster.
    private MarkedWordSplitter? WordsOfMarkedText(bool byteLevel, bool marksLeadOnly) =>
        !byteLevel && marksLeadOnly && _vocabulary.ContainsKey("\u2581") ? new MarkedWordSplitter('\u2581', atRunsOnly: true) : null;

    private int Resolve(string token) => _vocabulary.TryGetValue(token, out int id)
        ? id
        : throw Error($"post_processor: token '{Shown(token)}' is not in the vocabulary");

    private int Id(JsonElement value, string what)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt64(out long id) || (ulong)id >= MaxIds)
            throw Error($"{what}: needed an id in [0, {MaxIds}), found {(value.ValueKind == JsonValueKind.Number ? value.GetRawText() : value.ValueKind)}");
        return (int)id;
    }

    private string PropertyName(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException error)
        {
            throw new TokenizerFormatException(_file, "model.vocab: a text is not valid Unicode", error);
        }
    }

    private JsonElement.ArrayEnumerator Elements(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : throw Error($"{name}: needed an array, found {value.ValueKind}");

    private JsonElement Member(JsonElement parent, string name, JsonValueKind kind) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == kind
            ? value
            : throw Error($"'{name}': needed {kind}, found {(value.ValueKind == JsonValueKind.Undefined ? "nothing" : value.ValueKind)}");

    private static bool Flag(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    private string? Text(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? JsonFile.String(value, _file) : null;

    private TokenizerFormatException Error(string rule) => new(_file, rule);

    // Hostile files must not fill logs.
    private static string Shown(string text) => text.Length <= 40 ? text : string.Concat(text.AsSpan(0, 40), "...");
}
