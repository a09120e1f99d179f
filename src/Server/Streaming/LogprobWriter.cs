using System.Globalization;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;

namespace NativeLM.Server.Streaming;

/// <summary>Log-probabilities in OpenAI's two shapes and vLLM's one for prompts. Every number is finite.</summary>
internal static class LogprobWriter
{
    /// <summary>Stands for minus infinity: a masked token.</summary>
    private const float Masked = -9999;

    /// <summary>Chat: {content: [{token, logprob, bytes, top_logprobs}], refusal: null}, or null.</summary>
    public static void WriteChat(Utf8JsonWriter json, Choice choice, bool asked, TokenNames names)
    {
        if (!asked)
        {
            json.WriteNull("logprobs"u8);
            return;
        }
        json.WriteStartObject("logprobs"u8);
        json.WriteStartArray("content"u8);
        foreach ((TokenEvent token, _) in choice.Tokens)
        {
            json.WriteStartObject();
            WriteChatToken(json, token.TokenId, token.Logprob, names);
            json.WriteStartArray("top_logprobs"u8);
            foreach (TokenLogprob alternative in token.TopLogprobs ?? [])
            {
                json.WriteStartObject();
                WriteChatToken(json, alternative.TokenId, alternative.Logprob, names);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNull("refusal"u8);
        json.WriteEndObject();
    }

    /// <summary>Completions: parallel arrays, or null. With echo the prompt's tokens come first.</summary>
    public static void WriteCompletion(Utf8JsonWriter json, Choice choice, bool asked, bool withPrompt, TokenNames names)
    {
        if (!asked)
        {
            json.WriteNull("logprobs"u8);
            return;
        }
        IReadOnlyList<PromptLogprob> prompt = withPrompt ? choice.Prompt.PromptLogprobs ?? [] : [];
        json.WriteStartObject("logprobs"u8);
        WriteOffsets(json, choice, prompt, names);
        json.WriteStartArray("token_logprobs"u8);
        foreach (PromptLogprob token in prompt)
            WriteNumberOrNull(json, token.Logprob);
        foreach ((TokenEvent token, _) in choice.Tokens)
            json.WriteNumberValue(Finite(token.Logprob));
        json.WriteEndArray();
        json.WriteStartArray("tokens"u8);
        foreach (PromptLogprob token in prompt)
            json.WriteStringValue(names.Name(token.TokenId));
        foreach ((TokenEvent token, _) in choice.Tokens)
            json.WriteStringValue(names.Name(token.TokenId));
        json.WriteEndArray();
        json.WriteStartArray("top_logprobs"u8);
        foreach (PromptLogprob token in prompt)
            WriteMap(json, float.IsNaN(token.Logprob) ? null : token.TopLogprobs, token.TokenId, token.Logprob, names);
        foreach ((TokenEvent token, _) in choice.Tokens)
            WriteMap(json, token.TopLogprobs ?? [], token.TokenId, token.Logprob, names);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>prompt_logprobs: null for the first token, then {id: {logprob, rank, decoded_token}} with the token itself and the alternatives.</summary>
    public static void WritePrompt(Utf8JsonWriter json, IReadOnlyList<PromptLogprob> prompt, TokenNames names)
    {
        json.WriteStartArray("prompt_logprobs"u8);
        foreach (PromptLogprob token in prompt)
        {
            if (float.IsNaN(token.Logprob))
            {
                json.WriteNullValue();
                continue;
            }
            json.WriteStartObject();
            WriteRanked(json, token.TokenId, token.Logprob, token.Rank, names);
            for (int i = 0; i < token.TopLogprobs.Count; i++)
                if (token.TopLogprobs[i].TokenId != token.TokenId)
                    WriteRanked(json, token.TopLogprobs[i].TokenId, token.TopLogprobs[i].Logprob, i + 1, names);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteChatToken(Utf8JsonWriter json, int id, float logprob, TokenNames names)
    {
        json.WriteString("token"u8, names.Name(id));
        json.WriteNumber("logprob"u8, Finite(logprob));
        json.WriteStartArray("bytes"u8);
        foreach (byte value in names.Bytes(id))
            json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    private static void WriteOffsets(Utf8JsonWriter json, Choice choice, IReadOnlyList<PromptLogprob> prompt, TokenNames names)
    {
        json.WriteStartArray("text_offset"u8);
        int offset = 0;
        foreach (PromptLogprob token in prompt)
        {
            json.WriteNumberValue(offset);
            offset += names.Name(token.TokenId).Length;
        }
        // The output follows the echoed prompt, which is empty without echo.
        foreach (TextToken token in choice.Tokens)
            json.WriteNumberValue(choice.Prompt.Echo.Length + token.TextOffset);
        json.WriteEndArray();
    }

    /// <summary>Alternatives by name. Two ids may share a name (parts of a character); JSON keys stay unique, the better one is kept.</summary>
    private static void WriteMap(Utf8JsonWriter json, IReadOnlyList<TokenLogprob>? alternatives, int id, float logprob, TokenNames names)
    {
        if (alternatives is null)
        {
            json.WriteNullValue();
            return;
        }
        HashSet<string> seen = [];
        json.WriteStartObject();
        foreach (TokenLogprob alternative in alternatives)
            if (seen.Add(names.Name(alternative.TokenId)))
                json.WriteNumber(names.Name(alternative.TokenId), Finite(alternative.Logprob));
        // The token drawn is always reported, also when it is not among the best.
        if (seen.Add(names.Name(id)))
            json.WriteNumber(names.Name(id), Finite(logprob));
        json.WriteEndObject();
    }

    private static void WriteRanked(Utf8JsonWriter json, int id, float logprob, int rank, TokenNames names)
    {
        json.WriteStartObject(id.ToString(CultureInfo.InvariantCulture));
        json.WriteNumber("logprob"u8, Finite(logprob));
        json.WriteNumber("rank"u8, rank);
        json.WriteString("decoded_token"u8, names.Name(id));
        json.WriteEndObject();
    }

    private static void WriteNumberOrNull(Utf8JsonWriter json, float logprob)
    {
        if (float.IsNaN(logprob))
            json.WriteNullValue();
        else
            json.WriteNumberValue(Finite(logprob));
    }

    private static float Finite(float logprob) => logprob > Masked ? logprob : Masked;
}
