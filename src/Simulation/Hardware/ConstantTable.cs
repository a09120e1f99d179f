using System.Reflection;
using System.Text.Json;

namespace NativeLM.Simulation.Hardware;

/// <summary>A number that a result rests on, and where it comes from: specified, measured, fitted, computed, assumed or a target.</summary>
internal sealed record Constant(string Name, double Value, string Origin);

/// <summary>
/// The constants of one GPU or one model: a JSON object whose fields are words, or objects with a value and its origin. Those that come with
/// the program are named; any other is a file.
/// </summary>
internal sealed class ConstantTable
{
    private const int BytesMax = 1 << 16;

    private readonly string _source;
    private readonly Dictionary<string, string> _words = [];
    private readonly Dictionary<string, Constant> _constants = [];

    private ConstantTable(string source, JsonElement root)
    {
        _source = source;
        if (root.ValueKind != JsonValueKind.Object)
            throw new InvalidDataException($"{source}: found a JSON {root.ValueKind}, needed an object");
        foreach (JsonProperty field in root.EnumerateObject())
            if (field.Value.ValueKind == JsonValueKind.String)
                _words[field.Name] = field.Value.GetString()!;
            else
                _constants[field.Name] = Read(field);
    }

    /// <summary>In the order of the file.</summary>
    public IEnumerable<Constant> All => _constants.Values;

    /// <summary>The table of a kind ("hardware" or "model") that comes with the program under this name, or the one in this file.</summary>
    public static ConstantTable Load(string kind, string nameOrFile)
    {
        Assembly assembly = typeof(ConstantTable).Assembly;
        if (assembly.GetManifestResourceStream($"{kind}.{nameOrFile}.json") is Stream known)
            using (known)
                return Parse($"{kind} {nameOrFile}", known);
        if (!File.Exists(nameOrFile))
            throw new FileNotFoundException($"found no {kind} '{nameOrFile}', needed one of {string.Join(", ", Names(kind))} or a JSON file");
        using FileStream file = File.OpenRead(nameOrFile);
        if (file.Length > BytesMax)
            throw new InvalidDataException($"{nameOrFile}: found {file.Length} bytes, needed at most {BytesMax}");
        return Parse(nameOrFile, file);
    }

    /// <summary>Names of a kind that come with the program.</summary>
    public static IEnumerable<string> Names(string kind) => typeof(ConstantTable).Assembly.GetManifestResourceNames()
        .Where(n => n.StartsWith(kind + ".", StringComparison.Ordinal))
        .Select(n => n[(kind.Length + 1)..^".json".Length]).Order(StringComparer.Ordinal);

    /// <summary>A field that is a word, or null.</summary>
    public string? Word(string field) => _words.GetValueOrDefault(field);

    /// <summary>A field that is a number in [min, max].</summary>
    public double Number(string field, double min, double max)
    {
        if (!_constants.TryGetValue(field, out Constant? constant))
            throw new InvalidDataException($"{_source}: field {field} is absent, needed {{\"value\": number, \"origin\": text}}");
        return constant.Value >= min && constant.Value <= max ? constant.Value
            : throw new InvalidDataException($"{_source}: field {field} is {constant.Value}, needed a number from {min:G4} to {max:G4}");
    }

    /// <summary>True if the table has a number of this name.</summary>
    public bool Has(string field) => _constants.ContainsKey(field);

    private Constant Read(JsonProperty field) =>
        field.Value.ValueKind == JsonValueKind.Object
        && field.Value.TryGetProperty("value", out JsonElement value) && value.ValueKind == JsonValueKind.Number
        && value.TryGetDouble(out double number) && double.IsFinite(number)
        && field.Value.TryGetProperty("origin", out JsonElement origin) && origin.ValueKind == JsonValueKind.String
            ? new Constant(field.Name, number, origin.GetString()!)
            : throw new InvalidDataException(
                $"{_source}: field {field.Name} is {field.Value.GetRawText()}, needed {{\"value\": number, \"origin\": text}}");

    private static ConstantTable Parse(string source, Stream stream)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(stream, new JsonDocumentOptions { MaxDepth = 8 });
            return new ConstantTable(source, document.RootElement);
        }
        catch (JsonException failure)
        {
            throw new InvalidDataException($"{source}: found broken JSON ({failure.Message}), needed an object of constants", failure);
        }
    }
}
