using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The whole engine on a random model: planned ahead or not, replayed or called, it gives the same bits.</summary>
public sealed class PlannedAheadTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public PlannedAheadTests() => Runners.WriteRandom(_folder);

    public void Dispose() => _folder.Dispose();

    public static MatrixTheoryData<DeviceKind, ModelDType> Paths => new(Devices.All, [ModelDType.Float32, ModelDType.BFloat16]);

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Tokens_and_log_probabilities_do_not_depend_on_how_steps_are_launched(DeviceKind device, ModelDType type)
    {
        string[] plain = await Run(device, type, graphs: Toggle.Off, ahead: Toggle.Off);
        Assert.Equal(plain, await Run(device, type, graphs: Toggle.Off, ahead: Toggle.On));
        Assert.Equal(plain, await Run(device, type, graphs: Toggle.On, ahead: Toggle.On));
    }

    private async Task<string[]> Run(DeviceKind device, ModelDType type, Toggle graphs, Toggle ahead)
    {
        Devices.Require(device);
        await using LlmEngine engine = LlmEngine.Load(Runners.Options(_folder.Path) with
        {
            Device = device,
            DType = type,
            Graphs = graphs,
            AsyncScheduling = ahead,
            MaxSequences = 8,
            MaxBatchedTokens = 24,
            MaxModelLength = 96,
            KvCacheMemoryBytes = (type == ModelDType.Float32 ? 72 : 36) << 10, // about 17 blocks: sequences preempt one another
            BlockSize = 8,
        });
        Generation[] generations = [.. Requests().Select(engine.Submit)];
        string[] outputs = await Task.WhenAll(generations.Select(Read));
        Assert.True(engine.Metrics.Preemptions.Value > 0, "the pool is so large that nothing was preempted");
        Assert.Equal(graphs == Toggle.On, engine.Metrics.GraphReplays.Value > 0);
        Assert.Equal(ahead == Toggle.On, engine.Metrics.DroppedRows.Value > 0);
        Assert.Equal(engine.Metrics.Steps.Value, engine.Metrics.GraphReplays.Value + engine.Metrics.EagerSteps.Value);
        return outputs;
    }

    /// <summary>Every kind of row: greedy and drawn, with counts, masks, biases, minima, stops at many places, prompt log-probabilities.</summary>
    private static IEnumerable<GenerationRequest> Requests()
    {
        Random random = new(5);
        for (int i = 0; i < 24; i++)
        {
            SamplingParams sampling = new() { Temperature = i % 3, Seed = (ulong)i, Logprobs = i % 4, MaxTokens = 8 + i % 17 };
            yield return new GenerationRequest
            {
                PromptIds = (int[])[.. Enumerable.Range(0, random.Next(1, 40)).Select(_ => random.Next(3, 512))],
                Sampling = (i % 6) switch
                {
                    0 => sampling with { FrequencyPenalty = 0.7f, PresencePenalty = 0.3f, RepetitionPenalty = 1.2f },
                    1 => sampling with { StopTokenIds = [.. Enumerable.Range(0, 60)], MinTokens = i / 4 },
                    2 => sampling with { AllowedTokenIds = [.. Enumerable.Range(100, 200)] },
                    3 => sampling with { StopTokenIds = [.. Enumerable.Range(300, 40)], LogitBias = [new(7, 2), new(310, 1)] },
                    4 => sampling with { PromptLogprobs = 1, TopP = 0.8f },
                    _ => sampling with { TopK = 12, MinP = 0.02f },
                },
            };
        }
    }

    private static async Task<string> Read(Generation generation)
    {
        List<string> events = [];
        await foreach (TokenEvent e in generation)
            events.Add($"{e.TokenId}/{e.StopTokenId}/{e.FinishReason}/{Bits(e.Logprob)}/{e.Rank}/"
                + string.Join(',', (e.TopLogprobs ?? []).Select(entry => $"{entry.TokenId}:{Bits(entry.Logprob)}"))
                + string.Join(',', (e.PromptLogprobs ?? []).Select(entry => $"{entry.TokenId}:{Bits(entry.Logprob)}")));
        return string.Join(' ', events);
    }

    private static string Bits(float value) => BitConverter.SingleToUInt32Bits(value).ToString("x8");
}
