using System.Text.Json;

namespace NativeLM.Engine.Models;

/// <summary>Typed, ranged reads from one JSON object of a model file. Every failure names file, field, found and needed.</summary>
internal readonly struct JsonFields
{
    private const int DepthMax = 64;

    private readonly JsonElement _object;
    private readonly string _file;
    private readonly string _prefix;

    private JsonFields(JsonElement element, string file, string prefix) => (_object, _file, _prefix) = (element, file, prefix);

    /// <summary>Parses a whole file that must hold one object.</summary>
    public static JsonFields Parse(ReadOnlySpan<byte> content, string file)
    {
        if (content.StartsWith("\uFEFF"u8))
            content = content[3..];
        try
        {
            Utf8JsonReader reader = new(content, new JsonReaderOptions { MaxDepth = DepthMax });
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            if (reader.BytesConsumed < content.Length && !content[(int)reader.BytesConsumed..].Trim(" \t\r\n"u8).IsEmpty)
                throw new ModelLoadException(file, "found text after the JSON object, needed the end of the file");
            JsonElement root = document.RootElement.Clone();
            if (root.ValueKind != JsonValueKind.Object)
                throw new ModelLoadException(file, $"found a JSON {root.ValueKind}, needed an object");
            return new JsonFields(root, file, "");
        }
        catch (JsonException cause)
        {
            throw new ModelLoadException(file, $"is not valid JSON: {cause.Message}", cause);
        }
    }

    public bool Has(string name) => TryGet(name, out _);

    public JsonFields? Object(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.Object ? new JsonFields(value, _file, $"{_prefix}{name}.") : throw Wrong(name, value, "an object");
    }

    public int? Int(string name, int min, int max)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max)
            return number;
        throw Wrong(name, value, $"an integer from {min} to {max}");
    }

    public double? Number(string name, double min, double max)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max)
            return number;
        throw Wrong(name, value, FormattableString.Invariant($"a number from {min} to {max}"));
    }

    public bool? Bool(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Wrong(name, value, "true or false"),
        };
    }

    public string? Text(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong(name, value, "a string");
    }

    /// <summary>A list of strings; null if absent.</summary>
    public string[]? Texts(string name, int countMax)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > countMax)
            throw Wrong(name, value, $"a list of at most {countMax} strings");
        string[] texts = new string[value.GetArrayLength()];
        int index = 0;
        foreach (JsonElement item in value.EnumerateArray())
            texts[index++] = item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Wrong(name, item, "a string in each place");
        return texts;
    }

    /// <summary>One integer or a list of integers; null if absent.</summary>
    public int[]? IntOrList(string name, int min, int max, int countMax)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Array)
            return [Int(name, min, max)!.Value];
        if (value.GetArrayLength() > countMax)
            throw Wrong(name, value, $"at most {countMax} entries");
        int[] numbers = new int[value.GetArrayLength()];
        int index = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out int number) || number < min || number > max)
                throw Wrong(name, item, $"integers from {min} to {max}");
            numbers[index++] = number;
        }
        return numbers;
    }

    /// <summary>The failure for a value that is there and wrong.</summary>
    public ModelLoadException Wrong(string name, string found, string needed) =>
        new(_file, $"{_prefix}{name}: found {ModelFolder.Clip(found)}, needed {needed}");

    /// <summary>The failure for a field that is absent.</summary>
    public ModelLoadException Missing(string name, string needed) => new(_file, $"{_prefix}{name}: found nothing, needed {needed}");

    private ModelLoadException Wrong(string name, JsonElement value, string needed) => Wrong(name, value.GetRawText(), needed);

    // A null is as good as an absent field: Hugging Face writes both.
    private bool TryGet(string name, out JsonElement value) =>
        _object.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;
}
