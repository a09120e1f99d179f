using System.Text.Json;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>
/// Fields of the API and its dialects that this server does not honour. Ignoring one would change the result, so it is refused unless
/// its value asks for nothing. Fields outside every list are unknown and ignored.
/// </summary>
internal static class FieldRules
{
    /// <summary>Refused unless null, false, empty, or the neutral value given.</summary>
    private static readonly (string Field, string Hint)[] Refused =
    [
        ("suffix", "insertion is not supported"),
        ("prompt_embeds", "embeddings as prompts are not supported"),
        ("audio", "audio is not supported"),
        ("structured_outputs", "constrained output is not supported yet"),
        ("guided_json", "constrained output is not supported yet"),
        ("guided_regex", "constrained output is not supported yet"),
        ("guided_choice", "constrained output is not supported yet"),
        ("guided_grammar", "constrained output is not supported yet"),
        ("grammar", "constrained output is not supported yet; the field will be structured_outputs.grammar"),
        ("json_schema", "constrained output is not supported yet; the field is response_format.json_schema"),
        ("functions", "tools are not supported yet"),
        ("bad_words", "use logit_bias with token ids"),
        ("repetition_detection", "it is not supported yet"),
        ("thinking_token_budget", "it is not supported yet"),
        ("chat_template", "templates in requests are not accepted; the model's own is used"),
        ("documents", "it is not supported"),
        ("logits_processors", "code in requests is not accepted"),
        ("web_search_options", "this server has no network access"),
    ];

    /// <summary>Accepted without effect; strings are bounded.</summary>
    private static readonly string[] WithoutEffect =
        ["user", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity", "metadata", "store", "prediction"];

    public static void Check(in JsonFields fields, JsonElement root, RequestLimits limits)
    {
        if (root.GetPropertyCount() > limits.ObjectKeysMax)
            throw new ApiException(400, "invalid_value", $"The request has more than {limits.ObjectKeysMax} keys.");
        foreach ((string field, string hint) in Refused)
            if (fields.TryGet(field, out JsonElement value) && !AsksForNothing(value))
                throw ApiException.Unsupported(field, $"Unsupported parameter: '{field}': {hint}.");
        foreach (string field in WithoutEffect)
            if (fields.TryGet(field, out JsonElement value) && value.ValueKind == JsonValueKind.String)
                fields.String(field, limits.OtherStringCharsMax);
        CheckReports(fields);
        CheckTools(fields, limits);
        CheckFormats(fields);
    }

    /// <summary>Whether a value is false or empty.</summary>
    public static bool AsksForNothing(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.False => true,
        JsonValueKind.String => value.ValueEquals(""),
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => value.GetPropertyCount() == 0,
        _ => false,
    };

    private static void CheckReports(in JsonFields fields)
    {
        fields.Boolean("include_reasoning");
        if (fields.Boolean("spaces_between_special_tokens") is false)
            throw ApiException.Unsupported("spaces_between_special_tokens", "Unsupported value: 'spaces_between_special_tokens' must be true.");
    }

    private static void CheckTools(in JsonFields fields, RequestLimits limits)
    {
        bool hasTools = false;
        if (fields.TryGet("tools", out JsonElement tools))
        {
            if (tools.ValueKind != JsonValueKind.Array)
                throw JsonFields.WrongType("tools", "an array", tools);
            if (tools.GetArrayLength() > limits.ToolsMax)
                throw ApiException.InvalidValue("tools", $"'tools' may have at most {limits.ToolsMax} entries; found {tools.GetArrayLength()}.");
            hasTools = tools.GetArrayLength() > 0;
        }
        bool none = fields.TryGet("tool_choice", out JsonElement choice) && choice.ValueKind == JsonValueKind.String && choice.ValueEquals("none");
        if (fields.Has("tool_choice") && !hasTools && !none)
            throw ApiException.InvalidValue("tool_choice", "'tool_choice' is only allowed when 'tools' are given.");
        if (hasTools && !none)
            throw ApiException.Unsupported("tools", "Unsupported parameter: 'tools': tool calls are not supported yet (tool_choice 'none' is).");
        bool functionNone = fields.TryGet("function_call", out JsonElement call) && call.ValueKind == JsonValueKind.String
            && call.ValueEquals("none");
        if (fields.Has("function_call") && !functionNone)
            throw ApiException.Unsupported("function_call", "Unsupported parameter: 'function_call': tool calls are not supported yet.");
        fields.Boolean("parallel_tool_calls");
    }

    private static void CheckFormats(in JsonFields fields)
    {
        if (fields.Object("response_format") is JsonFields format)
        {
            string type = format.String("type", 64) ?? throw ApiException.Missing("response_format.type");
            if (type is "json_object" or "json_schema" or "structural_tag")
                throw ApiException.Unsupported("response_format",
                    $"Unsupported value: 'response_format.type' is '{type}'; constrained output is not supported yet, only 'text'.");
            if (type != "text")
                throw ApiException.InvalidValue("response_format.type",
                    $"'response_format.type' must be text, json_object or json_schema; found '{Text.Clip(type)}'.");
        }
        if (!fields.TryGet("modalities", out JsonElement modalities))
            return;
        if (modalities.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("modalities", "an array", modalities);
        foreach (JsonElement modality in modalities.EnumerateArray())
            if (JsonFields.String(modality, "modalities") != "text")
                throw ApiException.Unsupported("modalities", "Unsupported value: 'modalities' may only hold 'text'.");
    }
}
