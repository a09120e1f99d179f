using System.Globalization;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>Reads the sampling fields over the model's defaults.</summary>
internal static class SamplingFields
{
    /// <summary>Everything but lengths and log-probabilities, which completions and chat spell differently.</summary>
    public static SamplingParams Read(in JsonFields fields, SamplingParams defaults, int vocabulary, RequestLimits limits) => defaults with
    {
        Temperature = fields.Number("temperature", 0, 2) ?? defaults.Temperature,
        TopP = fields.Number("top_p", 0, 1, minIncluded: false) ?? defaults.TopP,
        TopK = TopK(fields, vocabulary) ?? defaults.TopK,
        MinP = fields.Number("min_p", 0, 1) ?? defaults.MinP,
        RepetitionPenalty = fields.Number("repetition_penalty", 0.01, 10) ?? defaults.RepetitionPenalty,
        PresencePenalty = fields.Number("presence_penalty", -2, 2) ?? defaults.PresencePenalty,
        FrequencyPenalty = fields.Number("frequency_penalty", -2, 2) ?? defaults.FrequencyPenalty,
        LogitBias = LogitBias(fields, vocabulary, limits) ?? defaults.LogitBias,
        AllowedTokenIds = fields.Ids("allowed_token_ids", vocabulary, 1, vocabulary) ?? defaults.AllowedTokenIds,
        StopTokenIds = fields.Ids("stop_token_ids", vocabulary, 1, limits.StopTokenIdsMax) ?? defaults.StopTokenIds,
        Seed = fields.Integer("seed", long.MinValue, long.MaxValue) is long seed ? unchecked((ulong)seed) : defaults.Seed,
        IgnoreEos = fields.Boolean("ignore_eos") ?? defaults.IgnoreEos,
    };

    public static string[] Stop(in JsonFields fields, RequestLimits limits)
    {
        if (!fields.TryGet("stop", out JsonElement value))
            return [];
        if (value.ValueKind == JsonValueKind.String)
            return [StopString(value, limits)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("stop", "a string or an array of strings", value);
        if (value.GetArrayLength() > limits.StopStringsMax)
            throw ApiException.InvalidValue("stop", $"'stop' may have at most {limits.StopStringsMax} strings; found {value.GetArrayLength()}.");
        return [.. value.EnumerateArray().Select(item => StopString(item, limits))];
    }

    private static string StopString(JsonElement value, RequestLimits limits)
    {
        string text = JsonFields.String(value, "stop");
        int bytes = JsonFields.Utf8Bytes(text);
        return bytes >= 1 && bytes <= limits.StopStringBytesMax
            ? text
            : throw ApiException.InvalidValue("stop", $"A stop string must have 1 to {limits.StopStringBytesMax} bytes; found {bytes}.");
    }

    private static int? TopK(in JsonFields fields, int vocabulary) => fields.Integer("top_k", -1, int.MaxValue) switch
    {
        null => null,
        <= 0 => 0,
        long k => (int)Math.Min(k, vocabulary),
    };

    private static List<KeyValuePair<int, float>>? LogitBias(in JsonFields fields, int vocabulary, RequestLimits limits)
    {
        if (!fields.TryGet("logit_bias", out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonFields.WrongType("logit_bias", "an object of token ids and numbers", value);
        if (value.GetPropertyCount() > limits.LogitBiasMax)
            throw ApiException.InvalidValue("logit_bias",
                $"'logit_bias' may have at most {limits.LogitBiasMax} entries; found {value.GetPropertyCount()}.");
        List<KeyValuePair<int, float>> biases = [];
        HashSet<int> seen = [];
        foreach (JsonProperty entry in value.EnumerateObject())
        {
            string name = entry.Name;
            if (!int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) || id >= vocabulary || !seen.Add(id))
                throw ApiException.InvalidValue("logit_bias",
                    $"A key of 'logit_bias' must be a token id from 0 to {vocabulary - 1}, once; found '{Text.Clip(name)}'.");
            double bias = JsonFields.Number(entry.Value, "logit_bias");
            if (bias is < -100 or > 100)
                throw ApiException.InvalidValue("logit_bias",
                    $"A value of 'logit_bias' must be from -100 to 100; found {Text.Clip(entry.Value.GetRawText())}.");
            biases.Add(new(id, (float)bias));
        }
        return biases;
    }
}
