using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;
using NativeLM.Server.Streaming;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Endpoints;

/// <summary>POST /v1/completions and /v1/chat/completions.</summary>
internal static class GenerationEndpoints
{
    public static void Map(Router router, EngineHost host)
    {
        router.Post("/v1/completions", context => CompleteAsync(context, host));
        router.Post("/v1/chat/completions", context => ChatAsync(context, host));
    }

    private static async Task CompleteAsync(HttpContext context, EngineHost host)
    {
        LoadedEngine loaded = host.RequireLoaded();
        CompletionRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context, host.Options.Limits))
            request = loaded.Mapper.Completion(body.RootElement);
        GenerationSettings settings = request.Settings;
        List<int[]> prompts = [.. request.Prompts.Select(prompt => loaded.Prompts.Encode(prompt, settings))];
        List<PromptRun> runs = Submit(context, loaded, settings, prompts, request.Echo);
        ResponseHead head = new(Id("cmpl-", context, settings), "text_completion", settings.Model, loaded.Model.Fingerprint, isChat: false);
        await AnswerAsync(context, host, settings, runs, head, new CompletionWriter(settings, Names(loaded, settings), request.Echo));
    }

    private static async Task ChatAsync(HttpContext context, EngineHost host)
    {
        LoadedEngine loaded = host.RequireLoaded();
        GenerationSettings settings;
        int[] prompt;
        using (JsonDocument body = await RequestBody.ReadAsync(context, host.Options.Limits))
        {
            ChatRequest request = loaded.Mapper.Chat(body.RootElement);
            settings = request.Settings;
            prompt = loaded.Prompts.Encode(request.Prompt, settings);
        }
        List<PromptRun> runs = Submit(context, loaded, settings, [prompt], echo: false);
        string objectName = settings.Stream ? "chat.completion.chunk" : "chat.completion";
        ResponseHead head = new(Id("chatcmpl-", context, settings), objectName, settings.Model, loaded.Model.Fingerprint, isChat: true);
        await AnswerAsync(context, host, settings, runs, head, new ChatWriter(settings, Names(loaded, settings)));
    }

    /// <summary>Hands every prompt to the engine, or none.</summary>
    private static List<PromptRun> Submit(HttpContext context, LoadedEngine loaded, GenerationSettings settings, List<int[]> prompts, bool echo)
    {
        bool keepsTokens = settings.ReturnTokenIds || settings.Sampling.Logprobs is not null;
        ModelTokenizer tokenizer = loaded.Engine.Tokenizer;
        TextOptions options = new()
        {
            Stop = settings.Stop,
            IncludeStop = settings.IncludeStop,
            SkipSpecialTokens = settings.SkipSpecialTokens,
            KeepBest = settings.Sampling.UseBeamSearch ? null : settings.Sampling.N,
            AwaitsEnd = settings.ReportsSharing,
        };
        List<PromptRun> runs = new(prompts.Count);
        List<Generation> submitted = new(prompts.Count);
        try
        {
            foreach (int[] ids in prompts)
            {
                Generation tokens = loaded.Engine.Submit(Request(context, loaded, settings, ids));
                submitted.Add(tokens);
                string echoed = echo ? tokenizer.Decode(ids, settings.SkipSpecialTokens) : "";
                TextGeneration text = new(tokens, tokenizer, options with { ContinuesText = tokenizer.HasText(ids) });
                runs.Add(new PromptRun(ids, echoed, tokens, text, settings.Sampling, runs.Count * settings.Sampling.N, keepsTokens, settings.PromptOnly));
            }
            return runs;
        }
        catch
        {
            submitted.ForEach(static tokens => tokens.Cancel());
            throw;
        }
    }

    private static GenerationRequest Request(HttpContext context, LoadedEngine loaded, GenerationSettings settings, int[] ids) => new()
    {
        PromptIds = ids,
        Sampling = loaded.Prompts.Limit(settings, ids.Length),
        Priority = settings.Priority,
        CacheSalt = settings.CacheSalt,
        Key = Authentication.KeyOf(context)?.Name,
        Deadline = settings.Deadline,
        ReportSharing = settings.ReportsSharing,
    };

    private static Task AnswerAsync(
        HttpContext context, EngineHost host, GenerationSettings settings, List<PromptRun> runs, ResponseHead head, ChoiceWriter writer)
    {
        GenerationAnswer answer = new(settings, runs, head, writer, host);
        return settings.Stream ? answer.WriteStreamAsync(context) : answer.WriteWholeAsync(context);
    }

    private static string Id(string prefix, HttpContext context, GenerationSettings settings) =>
        prefix + (settings.RequestId ?? RequestIds.Of(context));

    private static TokenNames Names(LoadedEngine loaded, GenerationSettings settings) =>
        new(loaded.Engine.Tokenizer, settings.ReturnTokensAsTokenIds);
}
