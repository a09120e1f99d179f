using NativeLM.Engine;

namespace NativeLM.Tests;

/// <summary>Engines over a scripted executor, one step at a time or one ahead, and short ways to use them.</summary>
internal static class TestEngine
{
    public static LlmEngine Start(
        bool isAsync, ScriptedExecutor executor, int blocks = 65, int blockSize = 8, int sequences = 8, int tokens = 64, int context = 256,
        int? queuedRequests = null, long? queuedTokens = null, int[]? eos = null, Func<EngineOptions, EngineOptions>? change = null, TimeProvider? time = null)
    {
        EngineInfo info = new()
        {
            ModelName = "scripted",
            Architecture = "Scripted",
            DType = "float32",
            Device = "none",
            MaxModelLength = context,
            VocabularySize = ScriptedExecutor.Vocabulary,
            BlockSize = blockSize,
            BlockCount = blocks,
            MaxSequences = sequences,
            MaxBatchedTokens = tokens,
            EosTokenIds = eos ?? [2],
            IsAsync = isAsync,
        };
        EngineOptions options = new() { ModelPath = "scripted", Seed = 1, MaxQueuedRequests = queuedRequests, MaxQueuedTokens = queuedTokens };
        return new LlmEngine(executor, info, change is null ? options : change(options), time: time);
    }

    /// <summary>A request whose prompt counts up from a first token.</summary>
    public static GenerationRequest Request(int promptCount = 4, int? maxTokens = 8, int first = 100, SamplingParams? sampling = null) => new()
    {
        PromptIds = Enumerable.Range(first, promptCount).ToArray(),
        Sampling = (sampling ?? new SamplingParams()) with { MaxTokens = maxTokens },
    };

    public static async Task<List<TokenEvent>> ReadAll(this Generation generation)
    {
        List<TokenEvent> events = [];
        await foreach (TokenEvent token in generation)
            events.Add(token);
        return events;
    }

    public static int UsedBlocks(this LlmEngine engine) => (int)engine.Metrics.KvBlocksUsed.Value;

    /// <summary>Waits until nothing runs or waits, and fails after ten seconds.</summary>
    public static async Task BecomesIdle(this LlmEngine engine)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(10));
        while (engine.Health.WatchdogAge > TimeSpan.Zero || engine.Metrics.RequestsRunning.Value + engine.Metrics.RequestsWaiting.Value > 0
            || engine.Metrics.QueueTokens.Value > 0)
            await Task.Delay(1, limit.Token);
    }
}
