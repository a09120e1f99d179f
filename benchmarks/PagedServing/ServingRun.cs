using System.Diagnostics;
using NativeLM.Engine;
using NativeLM.Engine.Scheduling;
using NativeLM.Simulation.Traces;

namespace NativeLM.Benchmarks.Paged;

/// <summary>What one policy reached.</summary>
/// <param name="TokensPerSecond">Output tokens.</param>
/// <param name="SequencesPerStep">Mean over the steps.</param>
/// <param name="FilledShare">Slots of blocks with an owner that hold a token, 0 to 1, over the steps.</param>
internal sealed record ServingResult(double TokensPerSecond, double SequencesPerStep, double FilledShare);

/// <summary>Serves the same requests with the same KV memory under different ways of reserving it.</summary>
internal static class ServingRun
{
    public const int Requests = 64;
    public const int Blocks = 7 * 1024 / 16;

    private const int Rounds = 3;

    /// <summary>All policies, in turn, as often as there are rounds; the median round of each.</summary>
    public static async Task<ServingResult[]> CompareAsync(string model, Reservation[] policies)
    {
        List<ServingResult>[] rounds = [.. policies.Select(_ => new List<ServingResult>())];
        for (int round = 0; round < Rounds; round++)
            for (int i = 0; i < policies.Length; i++)
                rounds[i].Add(await RunAsync(model, policies[i]));
        return [.. rounds.Select(r => r.OrderBy(result => result.TokensPerSecond).ElementAt(Rounds / 2))];
    }

    public static string NameOf(Reservation policy) => policy switch
    {
        Reservation.None => "paged",
        Reservation.Oracle => "Orca (Oracle): the true output is reserved",
        Reservation.Pow2 => "Orca (Pow2): its next power of two",
        _ => "Orca (Max): a full context",
    };

    private static async Task<ServingResult> RunAsync(string model, Reservation policy)
    {
        await using LlmEngine engine = LlmEngine.Load(new EngineOptions
        {
            ModelPath = model,
            Device = DeviceKind.Cpu,
            BlockCountOverride = Blocks,
            MaxSequences = 128,
            MaxQueuedRequests = Requests,
            Reservation = policy,
            EnablePrefixCaching = false,
            Seed = 1,
        });
        List<Task<int>> readers = [];
        long start = Stopwatch.GetTimestamp();
        foreach (TraceRequest request in FittedWorkload.ShareGpt.Poisson(rate: 2 * Requests, duration: 1, seed: 1).Take(Requests))
            readers.Add(CountAsync(engine.Submit(RequestOf(request, engine))));
        int[] counts = await Task.WhenAll(readers);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        double steps = engine.Metrics.Steps.Value;
        return new ServingResult(counts.Sum() / seconds, counts.Sum() / steps, (double)engine.Metrics.KvTokenSteps.Value / engine.Metrics.KvSlotSteps.Value);
    }

    private static GenerationRequest RequestOf(TraceRequest request, LlmEngine engine)
    {
        int input = Math.Max(1, request.Input / 2), output = Math.Max(1, Math.Min(request.Output / 2, engine.Info.MaxModelLength - input));
        return new GenerationRequest
        {
            PromptIds = Prompts.Of(input, engine.Info.VocabularySize, request.Arrival.GetHashCode()),
            Sampling = new SamplingParams { MaxTokens = output, IgnoreEos = true },
        };
    }

    private static async Task<int> CountAsync(Generation generation)
    {
        int count = 0;
        await foreach (TokenEvent token in generation)
            count += token.TokenId >= 0 ? 1 : 0;
        return count;
    }
}
