using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>A small trained Llama (head size 8, tied embeddings) with its published greedy text.</summary>
public sealed class TrainedModelTests
{
    private const string Model = "models/stories260K";

    [Theory]
    [InlineData(8, 512)]
    [InlineData(16, 16)]
    [InlineData(32, 512)]
    public void Greedy_text_is_the_published_one(int blockSize, int chunk)
    {
        using ModelRunner runner = Runners.Load(TestData.Require(Model),
            options => options with { BlockSize = blockSize, KvCacheMemoryBytes = 32 << 20 });
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(TestData.Require($"{Model}/greedy_golden.json")));
        StepDriver driver = new(runner, chunk);
        List<(DrivenSequence Driven, int[] Expected)> runs = [];
        foreach (JsonElement entry in golden.RootElement.EnumerateArray().Where(entry => entry.TryGetProperty("output_ids", out _)))
        {
            int[] expected = GoldenPrompt.Ints(entry.GetProperty("output_ids"));
            int[] prompt = GoldenPrompt.Ints(entry.GetProperty("prompt_ids"));
            runs.Add((driver.Add(prompt, new SamplingParams { Temperature = 0 }, expected.Length), expected));
        }
        driver.Run();
        Assert.All(runs, run => Assert.Equal(run.Expected, run.Driven.Output));
        string published = golden.RootElement.EnumerateArray().Single(entry => entry.TryGetProperty("note", out _)).GetProperty("text").GetString()!;
        Assert.Equal(464, published.Length);
        Assert.Equal(published, ModelTokenizer.Load(TestData.Require(Model)).Decode(runs[0].Driven.Output, skipSpecialTokens: true).TrimStart(' '));
    }

    [Fact]
    public void Prompt_log_probabilities_match_double_precision()
    {
        using ModelRunner runner = Runners.Load(TestData.Require(Model));
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(TestData.Require($"{Model}/prefill_logprobs_golden.json")));
        int[] ids = GoldenPrompt.Ints(golden.RootElement.GetProperty("ids"));
        float[] expected = GoldenPrompt.Floats(golden.RootElement.GetProperty("logprob_of_next"));
        StepDriver driver = new(runner, chunk: 5);
        DrivenSequence scored = driver.Add(ids, new SamplingParams { Temperature = 0, PromptLogprobs = 1 }, 1);
        driver.Run();
        float[] found = [.. scored.PromptLogprobs.Values.Select(entry => entry.Logprob)];
        Assert.Equal(ids.Length - 1, found.Length);
        for (int i = 0; i < found.Length; i++)
            Assert.True(Math.Abs(found[i] - expected[i]) < 1e-4, $"token {i + 1}: found {found[i]}, needed {expected[i]}");
        int[] argmax = GoldenPrompt.Ints(golden.RootElement.GetProperty("argmax"));
        Assert.Equal(argmax.Take(found.Length), scored.PromptLogprobs.Values.Select(entry => entry.TopLogprobs[0].TokenId));
    }
}
