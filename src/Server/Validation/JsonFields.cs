using System.Globalization;
using System.Text;
using System.Text.Json;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>
/// Typed, ranged reads of one JSON object. A null value counts as absent. Every failure is a 400 that names the field, what was found
/// and what is needed. Integers are read in 64 bits before they are narrowed; numbers are finite.
/// </summary>
internal readonly struct JsonFields(JsonElement value, string path = "")
{
    private readonly JsonElement _object = value;

    /// <summary>The field's name as the client would write it.</summary>
    public string Name(string field) => path.Length == 0 ? field : $"{path}.{field}";

    public bool TryGet(string field, out JsonElement value) =>
        _object.TryGetProperty(field, out value) && value.ValueKind != JsonValueKind.Null;

    public bool Has(string field) => TryGet(field, out _);

    public bool? Boolean(string field) => !TryGet(field, out JsonElement value) ? null : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw WrongType(Name(field), "a boolean", value),
    };

    public long? Integer(string field, long min, long max) => TryGet(field, out JsonElement value) ? Integer(value, Name(field), min, max) : null;

    public float? Number(string field, double min, double max, bool minIncluded = true)
    {
        if (!TryGet(field, out JsonElement value))
            return null;
        double number = Number(value, Name(field));
        if (number > max || (minIncluded ? number < min : number <= min))
            throw ApiException.InvalidValue(Name(field), string.Create(CultureInfo.InvariantCulture,
                $"'{Name(field)}' must be {(minIncluded ? "at least" : "above")} {min} and at most {max}; found {Clip(value)}."));
        // A tiny number above an excluded bound must not round onto it.
        float narrowed = (float)number;
        return !minIncluded && narrowed <= min ? MathF.BitIncrement((float)min) : narrowed;
    }

    public string? String(string field, int charsMax, int charsMin = 0)
    {
        if (!TryGet(field, out JsonElement value))
            return null;
        string text = String(value, Name(field));
        return text.Length >= charsMin && text.Length <= charsMax
            ? text
            : throw ApiException.InvalidValue(Name(field), $"'{Name(field)}' must have {charsMin} to {charsMax} characters; found {text.Length}.");
    }

    public JsonFields? Object(string field) => !TryGet(field, out JsonElement value) ? null
        : value.ValueKind == JsonValueKind.Object ? new JsonFields(value, Name(field))
        : throw WrongType(Name(field), "an object", value);

    /// <summary>An array of ids inside [0, bound), with countMin to countMax entries.</summary>
    public int[]? Ids(string field, int bound, int countMin, int countMax)
    {
        if (!TryGet(field, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Array)
            throw WrongType(Name(field), "an array of token ids", value);
        int count = value.GetArrayLength();
        if (count < countMin || count > countMax)
            throw ApiException.InvalidValue(Name(field), $"'{Name(field)}' must have {countMin} to {countMax} entries; found {count}.");
        return Ids(value, Name(field), bound);
    }

    public static int[] Ids(JsonElement array, string name, int bound)
    {
        int[] ids = new int[array.GetArrayLength()];
        int i = 0;
        foreach (JsonElement item in array.EnumerateArray())
            ids[i++] = (int)Integer(item, name, 0, bound - 1);
        return ids;
    }

    public static long Integer(JsonElement value, string name, long min, long max)
    {
        if (value.ValueKind != JsonValueKind.Number)
            throw WrongType(name, "an integer", value);
        if (!value.TryGetInt64(out long integer))
        {
            double number = Number(value, name);
            if (Math.Abs(number) < 1L << 53 && double.IsInteger(number))
                integer = (long)number;
            else if (double.IsInteger(number))
                throw OutOfRange();
            else
                throw WrongType(name, "an integer", value);
        }
        return integer >= min && integer <= max ? integer : throw OutOfRange();

        ApiException OutOfRange() => ApiException.InvalidValue(name, $"'{name}' must be from {min} to {max}; found {Clip(value)}.");
    }

    public static double Number(JsonElement value, string name)
    {
        if (value.ValueKind != JsonValueKind.Number)
            throw WrongType(name, "a number", value);
        return value.TryGetDouble(out double number) && double.IsFinite(number)
            ? number
            : throw ApiException.InvalidValue(name, $"'{name}' must be a finite number; found {Clip(value)}.");
    }

    public static string String(JsonElement value, string name)
    {
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw WrongType(name, "a string", value);
    }

    /// <summary>Bytes that a string would take in UTF-8.</summary>
    public static int Utf8Bytes(string text) => Encoding.UTF8.GetByteCount(text);

    public static ApiException WrongType(string name, string needed, JsonElement found) =>
        ApiException.InvalidType(name, $"Invalid type for '{name}': expected {needed}, but got {Kind(found)} instead.");

    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        _ => "null",
    };

    private static string Clip(JsonElement number) => Text.Clip(number.GetRawText());
}
