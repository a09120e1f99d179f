using System.Text.Json;
using System.Text.RegularExpressions;

namespace NativeLM.Engine.Tokenization;

/// <summary>The steps around the model in a tokenizer.json: normalizer, pre-tokenizer, post-processor, decoder.</summary>
internal sealed class TokenizerPipeline
{
    private const int MaxSteps = 64;
    private const int MaxPatternLength = 4096;
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromMilliseconds(250);

    private readonly string _file;
    private readonly JsonElement _root;
    private readonly List<NormalizerStep> _normalizers = [];
    private readonly List<PieceSplitter> _splitters = [];
    private readonly List<(string Pattern, string Content)> _replacements = []; // of decoded token texts

    public TokenizerPipeline(string file, JsonElement root)
    {
        _file = file;
        _root = root;
        foreach (JsonElement step in Steps("normalizer", "normalizers"))
            ReadNormalizer(step);
        foreach (JsonElement step in Steps("pre_tokenizer", "pretokenizers"))
            ReadPreTokenizer(step);
        bool fused = false;
        foreach (JsonElement step in Steps("decoder", "decoders"))
            ReadDecoder(step, ref fused);
    }

    /// <summary>Whether the vocabulary is written in the byte alphabet.</summary>
    public bool IsByteLevel { get; private set; }

    /// <summary>Whether &lt;0x0A&gt; decodes to a byte.</summary>
    public bool DecodesByteTokens { get; private set; }

    /// <summary>Whether decoding drops one space at the start of the text.</summary>
    public bool StripLeadingSpace { get; private set; }

    /// <summary>Rewrites sections, or null.</summary>
    public TextNormalizer? Normalizer => _normalizers.Count == 0 ? null : new TextNormalizer(_normalizers);

    /// <summary>Cuts sections into pieces, or null.</summary>
    public PieceSplitter? Splitter => _splitters.Count switch
    {
        0 => null,
        1 => _splitters[0],
        3 when _splitters.Select(splitter => (splitter as RegexSplitter)?.IsolatedPattern).SequenceEqual(DeepSeekSplitter.Patterns) => new DeepSeekSplitter(),
        _ => new SplitterSequence(_splitters),
    };

    /// <summary>Decoded text of a token of the vocabulary.</summary>
    public string DecodedText(string token)
    {
        foreach ((string pattern, string content) in _replacements)
            token = token.Replace(pattern, content, StringComparison.Ordinal);
        return token;
    }

    /// <summary>Ids that the post-processor puts before and after a prompt.</summary>
    public int[] ReadPrefix(Func<string, int> resolve, out int[] suffix)
    {
        var before = new List<int>();
        var after = new List<int>();
        foreach (JsonElement step in Steps("post_processor", "processors"))
        {
            switch (TypeOf(step, "post_processor"))
            {
                case "ByteLevel":
                    break;
                case "TemplateProcessing":
                    ReadTemplate(step, resolve, before, after);
                    break;
                case "BertProcessing" or "RobertaProcessing":
                    before.Add(resolve(PairText(step, "cls")));
                    after.Add(resolve(PairText(step, "sep")));
                    break;
                case string type:
                    throw Error($"post_processor '{type}' is not supported");
            }
        }
        suffix = [.. after];
        return [.. before];
    }

    private void ReadTemplate(JsonElement step, Func<string, int> resolve, List<int> before, List<int> after)
    {
        bool sequenceSeen = false;
        foreach (JsonElement part in List(step, "single"))
        {
            if (part.ValueKind != JsonValueKind.Object)
                throw Error("post_processor: needed objects in 'single'");
            if (part.TryGetProperty("Sequence", out _))
                sequenceSeen = true;
            else if (part.TryGetProperty("SpecialToken", out JsonElement special) && special.ValueKind == JsonValueKind.Object)
                (sequenceSeen ? after : before).Add(resolve(Text(special, "id")));
            else
                throw Error("post_processor: needed Sequence or SpecialToken in 'single'");
        }
    }

    private string PairText(JsonElement step, string name)
    {
        List<JsonElement> pair = List(step, name);
        return pair.Count == 2 && pair[0].ValueKind == JsonValueKind.String
            ? JsonFile.String(pair[0], _file)
            : throw Error($"post_processor.{name}: needed a text and an id");
    }

    private void ReadNormalizer(JsonElement step)
    {
        switch (TypeOf(step, "normalizer"))
        {
            case "Prepend":
                _normalizers.Add(new(NormalizerKind.Prepend, Content: Text(step, "prepend")));
                break;
            case "Replace":
                (string? literal, string? pattern) = Pattern(step, "normalizer");
                _normalizers.Add(literal is not null
                    ? new(NormalizerKind.Replace, literal, Text(step, "content"))
                    : new(NormalizerKind.ReplaceRegex, Content: Text(step, "content"), Regex: ReplaceRegex(pattern!)));
                break;
            case "NFC":
                _normalizers.Add(new(NormalizerKind.Nfc));
                break;
            case "NFD":
                _normalizers.Add(new(NormalizerKind.Nfd));
                break;
            case "Lowercase":
                _normalizers.Add(new(NormalizerKind.Lowercase));
                break;
            case "Strip":
                if (Flag(step, "strip_left", true))
                    _normalizers.Add(new(NormalizerKind.TrimStart));
                if (Flag(step, "strip_right", true))
                    _normalizers.Add(new(NormalizerKind.TrimEnd));
                break;
            case string type:
                throw Error($"normalizer '{type}' is not supported");
        }
    }

    private void ReadPreTokenizer(JsonElement step)
    {
        switch (TypeOf(step, "pre_tokenizer"))
        {
            case "ByteLevel":
                IsByteLevel = true;
                if (Flag(step, "add_prefix_space", true))
                    _normalizers.Add(new(NormalizerKind.PrependUnlessPresent, Content: " "));
                if (Flag(step, "use_regex", true))
                    _splitters.Add(new Gpt2Splitter());
                break;
            case "Split":
                _splitters.Add(ReadSplit(step));
                break;
            case "Digits":
                _splitters.Add(Regex(@"\p{N}" + (Flag(step, "individual_digits", false) ? "" : "+"), SplitBehavior.Isolated, false));
                break;
            case "Punctuation":
                _splitters.Add(Regex(@"[\p{P}!-/:-@\[-`{-~]", Behavior(step, "Isolated"), false));
                break;
            case "Metaspace":
                ReadMetaspace(step);
                break;
            case string type:
                throw Error($"pre_tokenizer '{type}' is not supported");
        }
    }

    private void ReadMetaspace(JsonElement step)
    {
        string mark = step.TryGetProperty("replacement", out _) ? Text(step, "replacement") : "\u2581";
        if (mark.Length != 1)
            throw Error($"pre_tokenizer Metaspace: needed one character as replacement, found '{mark}'");
        _normalizers.Add(new(NormalizerKind.Replace, " ", mark));
        switch (PrependScheme(step))
        {
            case "always":
                _normalizers.Add(new(NormalizerKind.PrependUnlessPresent, Content: mark));
                break;
            case "first":
                _normalizers.Add(new(NormalizerKind.PrependAtStart, Content: mark));
                break;
        }
        if (Flag(step, "split", true))
            _splitters.Add(new MarkedWordSplitter(mark[0], atRunsOnly: false));
    }

    private string PrependScheme(JsonElement step) =>
        step.TryGetProperty("prepend_scheme", out JsonElement scheme) && scheme.ValueKind == JsonValueKind.String
            ? JsonFile.String(scheme, _file)
            : Flag(step, "add_prefix_space", true) ? "always" : "never";

    private PieceSplitter ReadSplit(JsonElement step)
    {
        (string? literal, string? pattern) = Pattern(step, "pre_tokenizer Split");
        bool invert = Flag(step, "invert", false);
        if (pattern is not null && Behavior(step, "Isolated") is SplitBehavior.Isolated or SplitBehavior.MergedWithPrevious && KnownPattern(pattern) is { } known)
            return known;
        string text = Text(step, "behavior");
        // "Removed" with invert is how some files spell "the matches are the pieces"; that keeps text only where matches cover it.
        if (text == "Removed" && invert && pattern is not null && KnownPattern(pattern) is { } cover)
            return cover;
        return Regex(pattern ?? System.Text.RegularExpressions.Regex.Escape(literal!), Behavior(step, "Isolated"), invert);
    }

    /// <summary>The hand-written form of a well-known pattern. Their matches cover any text, so isolated, inverted or not is the same.</summary>
    private static WordSplitter? KnownPattern(string pattern) => pattern switch
    {
        Gpt2Splitter.Pattern => new Gpt2Splitter(),
        Cl100kSplitter.Llama3Pattern => new Cl100kSplitter(3),
        Cl100kSplitter.Qwen2Pattern => new Cl100kSplitter(1),
        Cl100kSplitter.Qwen35Pattern => new Cl100kSplitter(1, marksAreLetters: true),
        O200kSplitter.Pattern => new O200kSplitter(),
        _ => null,
    };

    private SplitBehavior Behavior(JsonElement step, string fallback)
    {
        string name = step.TryGetProperty("behavior", out _) ? Text(step, "behavior") : fallback;
        return name switch
        {
            "Isolated" => SplitBehavior.Isolated,
            "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
            "MergedWithNext" => SplitBehavior.MergedWithNext,
            "Contiguous" => SplitBehavior.Contiguous,
            _ => throw Error($"pre_tokenizer: behavior '{name}' is not supported"),
        };
    }

    private RegexSplitter Regex(string pattern, SplitBehavior behavior, bool invert)
    {
        try
        {
            return new RegexSplitter(Bounded(pattern), behavior, invert);
        }
        catch (ArgumentException error)
        {
            throw new TokenizerFormatException(_file, $"pre_tokenizer: the pattern is not valid: {error.Message}", error);
        }
    }

    private Regex ReplaceRegex(string pattern)
    {
        try
        {
            return new Regex(Bounded(pattern), RegexOptions.CultureInvariant, MatchTimeout);
        }
        catch (ArgumentException error)
        {
            throw new TokenizerFormatException(_file, $"normalizer: the pattern is not valid: {error.Message}", error);
        }
    }

    private string Bounded(string pattern) => pattern.Length <= MaxPatternLength
        ? pattern
        : throw Error($"a pattern has {pattern.Length} characters, at most {MaxPatternLength} are taken");

    private void ReadDecoder(JsonElement step, ref bool fused)
    {
        switch (TypeOf(step, "decoder"))
        {
            case "ByteLevel":
                IsByteLevel = true;
                break;
            case "ByteFallback":
                DecodesByteTokens = true;
                break;
            case "Fuse":
                fused = true;
                break;
            case "Replace" when Pattern(step, "decoder").Literal is string literal:
                _replacements.Add((literal, Text(step, "content")));
                break;
            case "Strip" when fused && Text(step, "content") == " " && Number(step, "start") == 1 && Number(step, "stop") == 0:
                StripLeadingSpace = true;
                break;
            case "Metaspace":
                _replacements.Add((step.TryGetProperty("replacement", out _) ? Text(step, "replacement") : "\u2581", " "));
                StripLeadingSpace = PrependScheme(step) != "never";
                break;
            case string type:
                throw Error($"decoder '{type}' with these options is not supported");
        }
    }

    /// <summary>The steps of one part of the pipeline: none, one, or those of a Sequence (one level of nesting, as files have it).</summary>
    private List<JsonElement> Steps(string part, string listName)
    {
        var steps = new List<JsonElement>();
        if (!_root.TryGetProperty(part, out JsonElement step) || step.ValueKind == JsonValueKind.Null)
            return steps;
        if (TypeOf(step, part) == "Sequence")
            steps.AddRange(List(step, listName));
        else
            steps.Add(step);
        return steps.Count <= MaxSteps ? steps : throw Error($"{part}: {steps.Count} steps, at most {MaxSteps} are taken");
    }

    private (string? Literal, string? Regex) Pattern(JsonElement step, string where)
    {
        if (step.TryGetProperty("pattern", out JsonElement pattern) && pattern.ValueKind == JsonValueKind.Object)
        {
            if (pattern.TryGetProperty("String", out _) && Text(pattern, "String") is { Length: > 0 } literal)
                return (literal, null);
            if (pattern.TryGetProperty("Regex", out _))
                return (null, Text(pattern, "Regex"));
        }
        throw Error($"{where}: needed a pattern with String (not empty) or Regex");
    }

    private string TypeOf(JsonElement step, string part) => step.ValueKind == JsonValueKind.Object
        ? Text(step, "type")
        : throw Error($"{part}: needed an object, found {step.ValueKind}");

    private List<JsonElement> List(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray()]
            : throw Error($"'{name}': needed an array");

    private string Text(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? JsonFile.String(value, _file)
            : throw Error($"'{name}': needed a string");

    private static int Number(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : -1;

    private static bool Flag(JsonElement parent, string name, bool fallback) =>
        parent.TryGetProperty(name, out JsonElement value) ? value.ValueKind == JsonValueKind.True : fallback;

    private TokenizerFormatException Error(string rule) => new(_file, rule);
}
