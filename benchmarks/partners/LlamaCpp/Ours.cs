using System.Diagnostics;
using NativeLM.Engine;

namespace NativeLM.Benchmarks.LlamaCpp;

/// <summary>The engine through its public API: scheduling, sampling and publishing are inside the clock.</summary>
internal sealed class Ours(LlmEngine engine) : IAsyncDisposable
{
    public LlmEngine Engine => engine;

    /// <summary>Seconds from submission to the first token of a prompt.</summary>
    public async Task<double> Prefill(int[] prompt)
    {
        long start = Stopwatch.GetTimestamp();
        await foreach (TokenEvent _ in engine.Submit(Request(prompt, 1)))
            break;
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>
    /// Seconds per decode step with <paramref name="batchSize"/> sequences: from the moment the last of them has its first token to the moment
    /// the first of them ends, so that every step in between holds them all.
    /// </summary>
    public async Task<double> Decode(int batchSize, int promptTokens, int steps, Random random)
    {
        // Earlier sequences decode while later prompts are prefilled: enough tokens that all still run when the last prompt is in.
        int outputTokens = steps + batchSize * promptTokens / engine.Info.MaxBatchedTokens + batchSize / 8 + 4;
        long[][] times = await Task.WhenAll(Enumerable.Range(0, batchSize).Select(_ => Times(Prompt(random, promptTokens), outputTokens)));
        long begin = times.Max(t => t[0]), end = times.Min(t => t[^1]);
        int tokens = times.Sum(t => t.Count(time => time > begin && time <= end));
        double seconds = (end - begin) / (double)Stopwatch.Frequency;
        return seconds / (tokens / (double)batchSize);
    }

    public int[] Prompt(Random random, int count)
    {
        int[] prompt = new int[count];
        for (int i = 0; i < count; i++)
            prompt[i] = random.Next(3, engine.Info.VocabularySize);
        return prompt;
    }

    public ValueTask DisposeAsync() => engine.DisposeAsync();

    private async Task<long[]> Times(int[] prompt, int outputTokens)
    {
        List<long> times = new(outputTokens);
        await foreach (TokenEvent token in engine.Submit(Request(prompt, outputTokens)))
            if (token.TokenId >= 0)
                times.Add(Stopwatch.GetTimestamp());
        return [.. times];
    }

    private static GenerationRequest Request(int[] prompt, int outputTokens) => new()
    {
        PromptIds = prompt,
        Sampling = new SamplingParams { Temperature = 0, IgnoreEos = true, MaxTokens = outputTokens },
    };
}
