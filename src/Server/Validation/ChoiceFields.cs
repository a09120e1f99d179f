using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>How many outputs a prompt gets and how they are found: n, best_of and beam search, and what they exclude.</summary>
internal static class ChoiceFields
{
    /// <summary>Numbers that beam search does not use, with the value that asks for nothing.</summary>
    private static readonly (string Field, double Neutral)[] NotForBeams =
    [
        ("top_p", 1), ("top_k", 0), ("min_p", 0), ("repetition_penalty", 1), ("presence_penalty", 0), ("frequency_penalty", 0), ("min_tokens", 0),
    ];

    /// <summary>Other fields that beam search does not use.</summary>
    private static readonly string[] NeverForBeams = ["allowed_token_ids", "logit_bias", "logprobs", "prompt_logprobs", "stop", "stream"];

    /// <summary>The sampling with its numbers of sequences. Everything else about it has been read.</summary>
    public static SamplingParams Read(in JsonFields fields, SamplingParams sampling, RequestLimits limits)
    {
        int n = (int)(fields.Integer("n", 1, limits.ChoicesMax) ?? 1);
        int? bestOf = (int?)fields.Integer("best_of", 1, limits.ChoicesMax);
        if (bestOf < n)
            throw ApiException.InvalidValue("best_of", $"'best_of' must be at least 'n' ({n}); found {bestOf}.");
        bool beams = fields.Boolean("use_beam_search") ?? false;
        float? lengthPenalty = fields.Number("length_penalty", -10, 10);
        EarlyStopping? earlyStopping = ReadEarlyStopping(fields);
        sampling = sampling with { N = n, BestOf = bestOf };
        if (beams)
            return Beams(fields, sampling) with { LengthPenalty = lengthPenalty ?? 1, EarlyStopping = earlyStopping ?? EarlyStopping.No };
        if (lengthPenalty is not (null or 1))
            throw OnlyForBeams("length_penalty");
        if (earlyStopping is not (null or EarlyStopping.No))
            throw OnlyForBeams("early_stopping");
        if (bestOf > 1 && fields.Boolean("stream") is true)
            throw ApiException.InvalidValue("best_of", "'best_of' cannot be streamed: which outputs are the best is known at the end; use 'n'.");
        if (bestOf > n && sampling.Temperature < SamplingParams.GreedyBelow)
            throw ApiException.InvalidValue("best_of",
                $"'best_of' ({bestOf}) above 'n' ({n}) needs a temperature above 0: greedy outputs are all the same. use_beam_search looks for better ones.");
        return sampling;
    }

    private static SamplingParams Beams(in JsonFields fields, SamplingParams sampling)
    {
        if (sampling.Width < 2)
            throw ApiException.InvalidValue("n", "Beam search needs a width: 'best_of' (or 'n') of at least 2.");
        if (fields.Has("temperature") && sampling.Temperature >= SamplingParams.GreedyBelow)
            throw ApiException.InvalidValue("temperature", "'temperature' must be 0 or absent with 'use_beam_search'.");
        foreach ((string field, double neutral) in NotForBeams)
            if (fields.TryGet(field, out JsonElement value) && JsonFields.Number(value, field) is double number && number != neutral
                && !(field == "top_k" && number == -1))
                throw NotWithBeams(field);
        foreach (string field in NeverForBeams)
            if (fields.TryGet(field, out JsonElement value) && !FieldRules.AsksForNothing(value))
                throw NotWithBeams(field);
        // What the model recommends for drawing does not apply: nothing is drawn.
        return new SamplingParams
        {
            Temperature = 0,
            N = sampling.N,
            BestOf = sampling.BestOf,
            UseBeamSearch = true,
            MaxTokens = sampling.MaxTokens,
            IgnoreEos = sampling.IgnoreEos,
            StopTokenIds = sampling.StopTokenIds,
        };
    }

    private static EarlyStopping? ReadEarlyStopping(in JsonFields fields)
    {
        if (!fields.TryGet("early_stopping", out JsonElement value))
            return null;
        return value.ValueKind switch
        {
            JsonValueKind.True => EarlyStopping.Yes,
            JsonValueKind.False => EarlyStopping.No,
            JsonValueKind.String when value.ValueEquals("never") => EarlyStopping.Never,
            JsonValueKind.String => throw ApiException.InvalidValue("early_stopping",
                $"'early_stopping' must be true, false or \"never\"; found '{Text.Clip(JsonFields.String(value, "early_stopping"))}'."),
            _ => throw JsonFields.WrongType("early_stopping", "a boolean or \"never\"", value),
        };
    }

    private static ApiException OnlyForBeams(string field) =>
        ApiException.InvalidValue(field, $"'{field}' is only allowed when 'use_beam_search' is true.");

    private static ApiException NotWithBeams(string field) =>
        ApiException.InvalidValue(field, $"'{field}' is not allowed with 'use_beam_search'.");
}
