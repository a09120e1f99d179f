using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Streaming;

/// <summary>Choices of /v1/chat/completions.</summary>
internal sealed class ChatWriter(GenerationSettings settings, TokenNames names) : ChoiceWriter(settings, names)
{
    public override bool EndsSeparately => true;

    public override void WriteWhole(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("content"u8, choice.Text.ToString());
        json.WriteNull("refusal"u8);
        json.WriteStartArray("annotations"u8);
        json.WriteEndArray();
        json.WriteEndObject();
        LogprobWriter.WriteChat(json, choice, Settings.Sampling.Logprobs is not null, Names);
        WriteEnd(json, choice, ended: true);
        WriteTokenIds(json, choice);
        WritePrompt(json, choice);
        json.WriteEndObject();
    }

    public override bool HasFirst => true;

    public override void WriteFirst(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        json.WriteStartObject("delta"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("content"u8, ""u8);
        json.WriteNull("refusal"u8);
        json.WriteEndObject();
        json.WriteNull("logprobs"u8);
        WriteEnd(json, choice, ended: false);
        WritePrompt(json, choice);
        json.WriteEndObject();
    }

    public override void WriteDelta(Utf8JsonWriter json, Choice choice)
    {
        bool ended = choice.FinishReason != FinishReason.None && !choice.HasDelta;
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        json.WriteStartObject("delta"u8);
        if (!ended)
            choice.WriteText(json, "content"u8);
        json.WriteEndObject();
        LogprobWriter.WriteChat(json, choice, Settings.Sampling.Logprobs is not null && !ended, Names);
        WriteEnd(json, choice, ended);
        WriteTokenIds(json, choice);
        json.WriteEndObject();
    }
}
