using System.Text.Json;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The whole engine, scheduler included, on the trained model.</summary>
public sealed class EngineGoldenTests
{
    private const string Model = "models/stories260K";

    [Theory]
    [InlineData(8, 48, 512 << 10)]
    [InlineData(16, 512, 32 << 20)]
    [InlineData(32, 64, 700 << 10)]
    public async Task Greedy_output_is_the_same_under_32_neighbours_and_preemption(int blockSize, int stepTokens, int poolBytes)
    {
        EngineOptions options = Runners.Options(TestData.Require(Model)) with
        {
            BlockSize = blockSize,
            MaxSequences = 40,
            MaxBatchedTokens = stepTokens,
            KvCacheMemoryBytes = poolBytes,
        };
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(TestData.Require($"{Model}/greedy_golden.json")));
        JsonElement first = golden.RootElement[0];
        int[] prompt = GoldenPrompt.Ints(first.GetProperty("prompt_ids")), expected = GoldenPrompt.Ints(first.GetProperty("output_ids"));
        await using LlmEngine engine = LlmEngine.Load(options);
        Random random = new(blockSize);
        List<Task<List<int>>> neighbours = [];
        for (int i = 0; i < 32; i++)
            neighbours.Add(Read(engine.Submit(new GenerationRequest
            {
                PromptIds = (int[])[.. Enumerable.Range(0, random.Next(1, 120)).Select(_ => random.Next(3, 512))],
                Sampling = new SamplingParams { Temperature = 1, MaxTokens = random.Next(10, 100), IgnoreEos = true, Seed = (ulong)i },
            })));
        List<int> output = await Read(engine.Submit(new GenerationRequest
        {
            PromptIds = prompt,
            Sampling = new SamplingParams { Temperature = 0, MaxTokens = expected.Length },
        }));
        Assert.Equal(expected, output);
        Assert.All(await Task.WhenAll(neighbours), tokens => Assert.NotEmpty(tokens));
        Assert.Equal(poolBytes < 1 << 20, engine.Metrics.Preemptions.Value > 0);
    }

    [Fact]
    public async Task A_request_that_ranks_its_outputs_gets_their_log_probabilities_without_asking()
    {
        await using LlmEngine engine = LlmEngine.Load(Runners.Options(TestData.Require(Model)));
        async Task<List<(int, int, float)>> Draw(SamplingParams sampling)
        {
            List<(int, int, float)> drawn = [];
            await foreach (TokenEvent token in engine.Submit(new GenerationRequest { PromptIds = new[] { 1, 403, 407 }, Sampling = sampling }))
                drawn.Add((token.Index, token.TokenId, token.Logprob));
            return [.. drawn.OrderBy(entry => entry.Item1)];
        }
        SamplingParams ranked = new() { BestOf = 3, MaxTokens = 12, Seed = 5 };
        List<(int, int, float)> unasked = await Draw(ranked);
        Assert.All(unasked, entry => Assert.True(entry.Item3 < 0));
        Assert.Equal(await Draw(ranked with { Logprobs = 0 }), unasked);
    }

    private static async Task<List<int>> Read(Generation generation)
    {
        List<int> tokens = [];
        await foreach (TokenEvent token in generation)
        {
            Assert.NotEqual(FinishReason.Error, token.FinishReason);
            if (token.TokenId >= 0)
                tokens.Add(token.TokenId);
        }
        return tokens;
    }
}
