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
