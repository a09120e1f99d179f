using NativeLM.Engine;
using NativeLM.Server.Http;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Generations;

/// <summary>Turns prompts and chats into token ids that fit the context. Cheap refusals come first: bytes before tokens.</summary>
internal sealed class PromptBuilder(LlmEngine engine, ServedModel model)
{
    /// <summary>Ids of one completion prompt.</summary>
    public int[] Encode(PromptInput prompt, GenerationSettings settings)
    {
        int[] ids = prompt.Ids ?? EncodeText(prompt.Text!, settings.AddSpecialTokens, settings.TruncatePromptTokens is not null);
        return Fit(ids, settings, "prompt");
    }

    /// <summary>Ids of a chat, rendered by the model's template.</summary>
    public int[] Encode(ChatPrompt chat, GenerationSettings settings) =>
        Fit(EncodeChat(chat, settings.AddSpecialTokens, settings.TruncatePromptTokens is not null), settings, "messages");

    /// <summary>Ids of a text. Throws context_length_exceeded without tokenising what cannot fit.</summary>
    public int[] EncodeText(string text, bool addSpecialTokens, bool mayExceed = false)
    {
        int bytes = JsonFields.Utf8Bytes(text);
        if (bytes > model.PromptBytesMax && !mayExceed)
            throw TooLong($"your prompt has {bytes} bytes, more than {model.ContextLength} tokens can hold", "prompt");
        return engine.Tokenizer.Encode(text, addSpecialTokens, parseSpecialTokens: true, TokensMax(mayExceed));
    }

    /// <summary>Ids of a rendered chat. Control tokens arise from the template alone, never from a message.</summary>
    public int[] EncodeChat(ChatPrompt chat, bool addSpecialTokens, bool mayExceed = false)
    {
        if (engine.ChatTemplate is not ChatTemplate template)
            throw new ApiException(400, "template_error", "This model has no chat template; use /v1/completions.", "messages");
        if (chat.ContentLength > model.PromptBytesMax && !mayExceed)
            throw TooLong($"your messages have {chat.ContentLength} characters, more than {model.ContextLength} tokens can hold", "messages");
        ChatTemplateOptions options = new()
        {
            AddGenerationPrompt = chat.AddGenerationPrompt,
            ContinueFinalMessage = chat.ContinueFinalMessage,
            Arguments = chat.Arguments,
        };
        try
        {
            int[] ids = engine.Tokenizer.EncodeSegments(template.Render(chat.Messages, options), TokensMax(mayExceed));
            return addSpecialTokens && engine.Tokenizer.AddsBos ? [engine.Tokenizer.BosId!.Value, .. ids] : ids;
        }
        catch (ChatTemplateException failure)
        {
            throw new ApiException(400, "template_error", $"The model's chat template refused the messages: {Text.Clip(failure.Message)}",
                "messages");
        }
    }

    /// <summary>The sampling of one prompt: a default output length gives way to the context, an explicit one was checked.</summary>
    public SamplingParams Limit(GenerationSettings settings, int promptCount)
    {
        int room = model.ContextLength - promptCount;
        return settings.Sampling.MaxTokens is int most && most > room
            ? settings.Sampling with { MaxTokens = room, MinTokens = Math.Min(settings.Sampling.MinTokens, room) }
            : settings.Sampling;
    }

    private int[] Fit(int[] ids, GenerationSettings settings, string field)
    {
        if (ids.Length == 0)
            throw ApiException.InvalidValue(field, $"'{field}' has no tokens.");
        if (settings.TruncatePromptTokens is int keep)
            ids = ids[^Math.Min(ids.Length, keep == -1 ? model.ContextLength - Math.Max(1, settings.Sampling.MaxTokens ?? 1) : keep)..];
        int output = settings.PromptOnly ? 0 : settings.Sampling.MaxTokens ?? 1;
        long wanted = (long)ids.Length + output;
        if (ids.Length >= model.ContextLength || (settings.MaxTokensIsExplicit && wanted > model.ContextLength))
            throw TooLong(settings.MaxTokensIsExplicit
                ? $"you requested {wanted} tokens ({ids.Length} in the {field}, {output} in the completion)"
                : $"your {field} resulted in {ids.Length} tokens", field);
        return ids;
    }

    /// <summary>Tokenising stops soon after what the context can hold.</summary>
    private int TokensMax(bool mayExceed) => mayExceed ? int.MaxValue : model.ContextLength + 1;

    private ApiException TooLong(string found, string field) => new(400, "context_length_exceeded",
        $"This model's maximum context length is {model.ContextLength} tokens, however {found}. Please reduce the length of the {field}.", field);
}
