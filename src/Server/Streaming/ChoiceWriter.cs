using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Streaming;

/// <summary>How one dialect (chat or completions) writes a choice, whole or piece by piece.</summary>
internal abstract class ChoiceWriter(GenerationSettings settings, TokenNames names)
{
    protected GenerationSettings Settings { get; } = settings;

    protected TokenNames Names { get; } = names;

    /// <summary>The complete choice of an answer that is not streamed.</summary>
    public abstract void WriteWhole(Utf8JsonWriter json, Choice choice);

    /// <summary>True if a choice begins with a chunk that carries no output yet.</summary>
    public abstract bool HasFirst { get; }

    /// <summary>That chunk.</summary>
    public abstract void WriteFirst(Utf8JsonWriter json, Choice choice);

    /// <summary>What came since the last chunk; with the finish reason if the choice has ended.</summary>
    public abstract void WriteDelta(Utf8JsonWriter json, Choice choice);

    /// <summary>True if the finish reason travels in a chunk of its own after the last text.</summary>
    public abstract bool EndsSeparately { get; }

    /// <summary>finish_reason and stop_reason.</summary>
    protected static void WriteEnd(Utf8JsonWriter json, Choice choice, bool ended)
    {
        if (ended)
            json.WriteString("finish_reason"u8, choice.FinishReason == FinishReason.Stop ? "stop"u8 : "length"u8);
        else
            json.WriteNull("finish_reason"u8);
        if (ended && choice.StopString is string text)
            json.WriteString("stop_reason"u8, text);
        else if (ended && choice.ReportedStopTokenId is int id)
            json.WriteNumber("stop_reason"u8, id);
        else
            json.WriteNull("stop_reason"u8);
    }

    /// <summary>Ids of the output tokens, if asked for.</summary>
    protected void WriteTokenIds(Utf8JsonWriter json, Choice choice)
    {
        if (!Settings.ReturnTokenIds)
            return;
        json.WriteStartArray("token_ids"u8);
        foreach (TextToken token in choice.Tokens)
            json.WriteNumberValue(token.Token.TokenId);
        json.WriteEndArray();
    }

    /// <summary>Ids and log-probabilities of the prompt, if asked for.</summary>
    protected void WritePrompt(Utf8JsonWriter json, Choice choice)
    {
        if (Settings.ReturnTokenIds)
        {
            json.WriteStartArray("prompt_token_ids"u8);
            foreach (int id in choice.Prompt.Ids)
                json.WriteNumberValue(id);
            json.WriteEndArray();
        }
        if (Settings.ReportsPromptLogprobs && choice.Prompt.PromptLogprobs is IReadOnlyList<PromptLogprob> prompt)
            LogprobWriter.WritePrompt(json, prompt, Names);
    }
}
