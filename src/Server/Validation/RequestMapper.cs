using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>Maps JSON bodies to checked requests. All range checks of the API are here or in the readers it calls.</summary>
internal sealed class RequestMapper(ServedModel model, RequestLimits limits)
{
    private const int CompletionMaxTokens = 16;
    private const long DeadlineMsMax = 86_400_000; // a day

    public CompletionRequest Completion(JsonElement root)
    {
        JsonFields fields = Begin(root);
        SamplingParams sampling = SamplingFields.Read(fields, model.DefaultSampling, model.VocabularySize, limits);
        bool echo = fields.Boolean("echo") ?? false;
        int? promptLogprobs = PromptLogprobs(fields);
        long? maxTokens = fields.Integer("max_tokens", 0, int.MaxValue);
        sampling = sampling with
        {
            Logprobs = (int?)fields.Integer("logprobs", 0, limits.LogprobsMax),
            PromptLogprobs = promptLogprobs,
        };
        if (echo && sampling.Logprobs is int alternatives)
            sampling = sampling with { PromptLogprobs = Math.Max(alternatives, promptLogprobs ?? 0) };
        bool mayBeZero = echo || promptLogprobs is not null;
        GenerationSettings settings = Settings(fields, sampling, maxTokens, maxTokens ?? CompletionMaxTokens, mayBeZero);
        if (settings.Stream && promptLogprobs is not null)
            throw ApiException.InvalidValue("prompt_logprobs", "'prompt_logprobs' cannot be streamed.");
        List<PromptInput> prompts = Prompts(fields);
        long sequences = (long)prompts.Count * settings.Sampling.Width;
        if (sequences > limits.SequencesMax && settings.Sampling.Width > 1)
            throw ApiException.InvalidValue(fields.Has("best_of") ? "best_of" : "n",
                $"{prompts.Count} prompts with {settings.Sampling.Width} outputs each make {sequences}; a request may have {limits.SequencesMax}.");
        return new CompletionRequest(settings with { AddSpecialTokens = fields.Boolean("add_special_tokens") ?? true }, prompts, echo);
    }

    public ChatRequest Chat(JsonElement root)
    {
        JsonFields fields = Begin(root);
        SamplingParams sampling = SamplingFields.Read(fields, model.DefaultSampling, model.VocabularySize, limits);
        int? promptLogprobs = PromptLogprobs(fields);
        bool logprobs = fields.Boolean("logprobs") ?? false;
        long? top = fields.Integer("top_logprobs", 0, limits.LogprobsMax);
        if (top is not null && !logprobs)
            throw ApiException.InvalidValue("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.");
        long? maxTokens = fields.Integer("max_completion_tokens", 0, int.MaxValue) ?? fields.Integer("max_tokens", 0, int.MaxValue);
        sampling = sampling with { Logprobs = logprobs ? (int)(top ?? 0) : null, PromptLogprobs = promptLogprobs };
        GenerationSettings settings = Settings(fields, sampling, maxTokens, maxTokens, mayBeZero: promptLogprobs is not null);
        if (settings.Stream && promptLogprobs is not null)
            throw ApiException.InvalidValue("prompt_logprobs", "'prompt_logprobs' cannot be streamed.");
        return new ChatRequest(settings with { AddSpecialTokens = fields.Boolean("add_special_tokens") ?? false }, ChatFields.Read(fields, limits));
    }

    public TokenizeRequest Tokenize(JsonElement root)
    {
        JsonFields fields = new(root);
        RequireModel(fields);
        bool withStrings = fields.Boolean("return_token_strs") ?? false;
        if (fields.Has("messages"))
            return new TokenizeRequest(null, ChatFields.Read(fields, limits), fields.Boolean("add_special_tokens") ?? false, withStrings);
        string prompt = fields.String("prompt", int.MaxValue) ?? throw ApiException.Missing("prompt");
        return new TokenizeRequest(prompt, null, fields.Boolean("add_special_tokens") ?? true, withStrings);
    }

    public DetokenizeRequest Detokenize(JsonElement root)
    {
        JsonFields fields = new(root);
        RequireModel(fields);
        return new DetokenizeRequest(fields.Ids("tokens", model.VocabularySize, 0, int.MaxValue) ?? throw ApiException.Missing("tokens"));
    }

    public PrefixRequest Prefix(JsonElement root)
    {
        JsonFields fields = new(root);
        RequireModel(fields);
        string name = fields.String("name", int.MaxValue) ?? throw ApiException.Missing("name");
        if (!SharedPrefixes.IsName(name))
            throw ApiException.InvalidValue("name", $"'name' must have 1 to 64 characters of A-Z a-z 0-9 . _ -; found '{Text.Clip(name)}'.");
        string? salt = fields.String("cache_salt", limits.CacheSaltCharsMax, 1);
        if (!fields.Has("messages"))
        {
            List<PromptInput> prompts = Prompts(fields);
            return prompts.Count == 1
                ? new PrefixRequest(name, prompts[0], null, fields.Boolean("add_special_tokens") ?? true, salt)
                : throw ApiException.InvalidValue("prompt", $"'prompt' must be one prompt; found {prompts.Count}.");
        }
        if (fields.Has("prompt"))
            throw ApiException.InvalidValue("prompt", "'prompt' and 'messages' cannot both be given.");
        // What follows a prefix is another message as a rule, not the answer.
        ChatPrompt chat = ChatFields.Read(fields, limits) with { AddGenerationPrompt = fields.Boolean("add_generation_prompt") ?? false };
        return new PrefixRequest(name, null, chat, fields.Boolean("add_special_tokens") ?? false, salt);
    }

    private JsonFields Begin(JsonElement root)
    {
        JsonFields fields = new(root);
        RequireModel(fields);
        FieldRules.Check(fields, root, limits);
        return fields;
    }

    private void RequireModel(in JsonFields fields)
    {
        if (fields.String("model", limits.ModelNameCharsMax) is string name && !model.Names.Contains(name, StringComparer.Ordinal))
            throw ApiException.ModelNotFound(name);
    }

    private int? PromptLogprobs(in JsonFields fields) => (int?)fields.Integer("prompt_logprobs", 0, limits.LogprobsMax);

    private GenerationSettings Settings(in JsonFields fields, SamplingParams sampling, long? asked, long? maxTokens, bool mayBeZero)
    {
        if (asked == 0 && !mayBeZero)
            throw ApiException.InvalidValue("max_tokens", "'max_tokens' must be at least 1; 0 is allowed only with echo or prompt_logprobs.");
        int minTokens = (int)(fields.Integer("min_tokens", 0, int.MaxValue) ?? sampling.MinTokens);
        if (maxTokens is long most && minTokens > most)
            throw ApiException.InvalidValue("min_tokens", $"'min_tokens' must be at most max_tokens ({most}); found {minTokens}.");
        bool stream = fields.Boolean("stream") ?? false;
        (bool usage, bool continuous) = StreamOptions(fields, stream);
        string? requestId = fields.String("request_id", 64);
        if (requestId is not null && !RequestIds.IsValid(requestId))
            throw ApiException.InvalidValue("request_id", "'request_id' must have 1 to 64 characters of A-Z a-z 0-9 . _ -");
        sampling = sampling with { MaxTokens = maxTokens is long limit ? (int)Math.Max(1, limit) : sampling.MaxTokens, MinTokens = minTokens };
        return new GenerationSettings
        {
            Model = fields.String("model", limits.ModelNameCharsMax) ?? model.Names[0],
            // The engine draws at least one token; a request for none reports only its prompt.
            Sampling = ChoiceFields.Read(fields, sampling, limits),
            PromptOnly = asked == 0,
            MaxTokensIsExplicit = asked is not null,
            Stop = SamplingFields.Stop(fields, limits),
            IncludeStop = fields.Boolean("include_stop_str_in_output") ?? false,
            SkipSpecialTokens = fields.Boolean("skip_special_tokens") ?? true,
            Stream = stream,
            IncludeUsage = usage,
            ContinuousUsage = continuous,
            ReturnTokenIds = fields.Boolean("return_token_ids") ?? false,
            ReturnTokensAsTokenIds = fields.Boolean("return_tokens_as_token_ids") ?? false,
            TruncatePromptTokens = Truncation(fields),
            RequestId = requestId,
            ReportsPromptLogprobs = fields.Has("prompt_logprobs"),
            Priority = (int)(fields.Integer("priority", int.MinValue, int.MaxValue) ?? 0),
            CacheSalt = fields.String("cache_salt", limits.CacheSaltCharsMax, 1),
            Deadline = fields.Integer("deadline_ms", 1, DeadlineMsMax) is long deadline ? TimeSpan.FromMilliseconds(deadline) : null,
            ReportsSharing = fields.Boolean("include_sharing_report") ?? false,
        };
    }

    private int? Truncation(in JsonFields fields)
    {
        long? tokens = fields.Integer("truncate_prompt_tokens", -1, model.ContextLength);
        return tokens == 0 ? throw ApiException.InvalidValue("truncate_prompt_tokens", "'truncate_prompt_tokens' must be -1 or at least 1.")
            : (int?)tokens;
    }

    private static (bool Usage, bool Continuous) StreamOptions(in JsonFields fields, bool stream)
    {
        if (fields.Object("stream_options") is not JsonFields options)
            return (false, false);
        if (!stream)
            throw ApiException.InvalidValue("stream_options", "'stream_options' is only allowed when 'stream' is true.");
        return (options.Boolean("include_usage") ?? false, options.Boolean("continuous_usage_stats") ?? false);
    }

    private List<PromptInput> Prompts(in JsonFields fields)
    {
        if (!fields.TryGet("prompt", out JsonElement value))
            throw ApiException.Missing("prompt");
        if (value.ValueKind == JsonValueKind.String)
            return [new PromptInput(JsonFields.String(value, "prompt"), null)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("prompt", "a string, an array of strings, an array of token ids, or an array of those", value);
        int count = value.GetArrayLength();
        if (count == 0)
            throw ApiException.InvalidValue("prompt", "'prompt' must not be an empty array.");
        if (value[0].ValueKind == JsonValueKind.Number)
            return [new PromptInput(null, JsonFields.Ids(value, "prompt", model.VocabularySize))];
        if (count > limits.PromptsMax)
            throw ApiException.InvalidValue("prompt", $"'prompt' may have at most {limits.PromptsMax} prompts; found {count}.");
        return [.. value.EnumerateArray().Select(Prompt)];
    }

    private PromptInput Prompt(JsonElement item) => item.ValueKind switch
    {
        JsonValueKind.String => new PromptInput(JsonFields.String(item, "prompt"), null),
        JsonValueKind.Array when item.GetArrayLength() > 0 => new PromptInput(null, JsonFields.Ids(item, "prompt", model.VocabularySize)),
        JsonValueKind.Array => throw ApiException.InvalidValue("prompt", "A prompt of token ids must not be empty."),
        _ => throw JsonFields.WrongType("prompt", "strings or arrays of token ids", item),
    };
}
