using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Streaming;

/// <summary>Choices of /v1/completions. With echo the prompt's text stands before the output.</summary>
internal sealed class CompletionWriter(GenerationSettings settings, TokenNames names, bool echo) : ChoiceWriter(settings, names)
{
    public override bool EndsSeparately => false;

    public override void WriteWhole(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        json.WriteString("text"u8, echo ? choice.Prompt.Echo + choice.Text : choice.Text.ToString());
        LogprobWriter.WriteCompletion(json, choice, Settings.Sampling.Logprobs is not null, echo, Names);
        WriteEnd(json, choice, ended: true);
        WriteTokenIds(json, choice);
        WritePrompt(json, choice);
        json.WriteEndObject();
    }

    public override bool HasFirst => echo || Settings.ReturnTokenIds;

    public override void WriteFirst(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        json.WriteString("text"u8, echo ? choice.Prompt.Echo : "");
        LogprobWriter.WriteCompletion(json, choice, echo && Settings.Sampling.Logprobs is not null, withPrompt: true, Names);
        WriteEnd(json, choice, ended: false);
        WritePrompt(json, choice);
        json.WriteEndObject();
    }

    public override void WriteDelta(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Index);
        choice.WriteText(json, "text"u8);
        LogprobWriter.WriteCompletion(json, choice, Settings.Sampling.Logprobs is not null, withPrompt: false, Names);
        WriteEnd(json, choice, choice.FinishReason != FinishReason.None);
        WriteTokenIds(json, choice);
        json.WriteEndObject();
    }
}
