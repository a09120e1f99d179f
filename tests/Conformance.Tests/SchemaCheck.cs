using System.Text.Json;

namespace NativeLM.Conformance.Tests;

/// <summary>As much of OpenAPI's schema language as OpenAI's description of its answers uses. Returns what is wrong, or null.</summary>
internal sealed class SchemaCheck(JsonElement components)
{
    private const int DepthMax = 64;

    public string? Check(JsonElement value, string schemaName) => Check(value, components.GetProperty(schemaName), "$", 0);

    private string? Check(JsonElement value, JsonElement schema, string path, int depth)
    {
        if (depth > DepthMax)
            return $"{path}: schema too deep";
        if (schema.TryGetProperty("$ref", out JsonElement reference))
            return Check(value, components.GetProperty(reference.GetString()!.Split('/')[^1]), path, depth + 1);
        if (value.ValueKind == JsonValueKind.Null && schema.TryGetProperty("nullable", out JsonElement nullable) && nullable.GetBoolean())
            return null;
        foreach (string any in (string[])["anyOf", "oneOf"])
            if (schema.TryGetProperty(any, out JsonElement options) && !options.EnumerateArray()
                .Any(option => Check(value, option, path, depth + 1) is null))
                return $"{path}: fits none of {any} ({options.EnumerateArray().Select(option => Check(value, option, path, depth + 1)).First()})";
        if (schema.TryGetProperty("allOf", out JsonElement all))
            foreach (JsonElement part in all.EnumerateArray())
                if (Check(value, part, path, depth + 1) is string wrong)
                    return wrong;
        if (schema.TryGetProperty("type", out JsonElement type) && !IsOfType(value, type.GetString()!))
            return $"{path}: found {value.ValueKind}, needed {type.GetString()}";
        if (schema.TryGetProperty("enum", out JsonElement words) && !words.EnumerateArray().Any(word => JsonElement.DeepEquals(word, value)))
            return $"{path}: found {value}, needed one of {words}";
        return CheckProperties(value, schema, path, depth) ?? CheckItems(value, schema, path, depth);
    }

    private string? CheckProperties(JsonElement value, JsonElement schema, string path, int depth)
    {
        if (value.ValueKind != JsonValueKind.Object)
            return null;
        if (schema.TryGetProperty("required", out JsonElement required))
            foreach (JsonElement name in required.EnumerateArray())
                if (!value.TryGetProperty(name.GetString()!, out _))
                    return $"{path}: {name} is missing";
        if (schema.TryGetProperty("properties", out JsonElement properties))
            foreach (JsonProperty property in properties.EnumerateObject())
                if (value.TryGetProperty(property.Name, out JsonElement field)
                    && Check(field, property.Value, $"{path}.{property.Name}", depth + 1) is string wrong)
                    return wrong;
        return null;
    }

    private string? CheckItems(JsonElement value, JsonElement schema, string path, int depth)
    {
        if (value.ValueKind != JsonValueKind.Array || !schema.TryGetProperty("items", out JsonElement items))
            return null;
        int index = 0;
        foreach (JsonElement item in value.EnumerateArray())
            if (Check(item, items, $"{path}[{index++}]", depth + 1) is string wrong)
                return wrong;
        return null;
    }

    private static bool IsOfType(JsonElement value, string type) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _),
        "number" => value.ValueKind == JsonValueKind.Number,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "null" => value.ValueKind == JsonValueKind.Null,
        _ => false,
    };
}
