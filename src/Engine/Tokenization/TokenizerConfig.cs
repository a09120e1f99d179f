using System.Text.Json;

namespace NativeLM.Engine.Tokenization;

/// <summary>The facts of tokenizer_config.json and special_tokens_map.json that matter here. Absent files give an empty one.</summary>
internal sealed class TokenizerConfig
{
    private const long MaxFileBytes = 16 << 20;

    private readonly Dictionary<string, string> _specialTexts = [];

    /// <summary>Whether a BOS token leads every prompt; null: as the post-processor says.</summary>
    public bool? AddBos { get; private set; }

    /// <summary>Whether an EOS token ends every prompt; null: as the post-processor says.</summary>
    public bool? AddEos { get; private set; }

    /// <summary>Tokens that tokenizer_config.json adds by id.</summary>
    public List<AddedToken> AddedTokens { get; } = [];

    /// <summary>Texts of the special tokens by name, for example bos_token.</summary>
    public IReadOnlyDictionary<string, string> SpecialTexts => _specialTexts;

    /// <summary>Text of a named special token such as bos_token, or null.</summary>
    public string? TextOf(string name) => _specialTexts.GetValueOrDefault(name);

    /// <summary>Reads both files of a model folder.</summary>
    /// <exception cref="TokenizerFormatException">A file is not what its name says.</exception>
    public static TokenizerConfig Load(string folder)
    {
        var config = new TokenizerConfig();
        config.Read(Path.Combine(folder, "special_tokens_map.json"));
        config.Read(Path.Combine(folder, "tokenizer_config.json"));
        return config;
    }

    /// <summary>Reads one JSON text.</summary>
    public static TokenizerConfig Parse(string json, string file)
    {
        var config = new TokenizerConfig();
        config.Read(file, JsonFile.Parse(json, file));
        return config;
    }

    private void Read(string file)
    {
        if (!System.IO.File.Exists(file))
            return;
        using JsonDocument document = JsonFile.Open(file, MaxFileBytes);
        Read(file, document);
    }

    private void Read(string file, JsonDocument document)
    {
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new TokenizerFormatException(file, $"needed a JSON object, found {document.RootElement.ValueKind}");
        foreach (JsonProperty property in document.RootElement.EnumerateObject())
        {
            if (property.Name.EndsWith("_token", StringComparison.Ordinal) && TokenText(property.Value, file) is string text)
                _specialTexts[property.Name] = text;
        }
        AddBos = Flag(document.RootElement, "add_bos_token") ?? AddBos;
        AddEos = Flag(document.RootElement, "add_eos_token") ?? AddEos;
        if (document.RootElement.TryGetProperty("added_tokens_decoder", out JsonElement added) && added.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty entry in added.EnumerateObject())
                if (int.TryParse(entry.Name, out int id) && entry.Value.ValueKind == JsonValueKind.Object)
                    AddedTokens.Add(TokenizerJson.ReadAddedToken(entry.Value, id, file));
    }

    private static bool? Flag(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : null;

    private static string? TokenText(JsonElement value, string file) => value.ValueKind switch
    {
        JsonValueKind.String => JsonFile.String(value, file),
        JsonValueKind.Object when value.TryGetProperty("content", out JsonElement content) && content.ValueKind == JsonValueKind.String =>
            JsonFile.String(content, file),
        _ => null,
    };
}
