using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The bundled model against the greedy samples that its own numpy reference wrote from the same bf16 weights.</summary>
public sealed class DemoModelTests
{
    private static string Folder => Path.Combine(TestData.ProjectRoot, "models", "demo");

    [Fact]
    public void Demo_model_writes_its_recorded_stories_and_answers()
    {
        using ModelRunner runner = Runners.Load(Folder, options => options with { KvCacheMemoryBytes = 64 << 20 });
        ModelTokenizer tokenizer = ModelTokenizer.Load(Folder);
        using JsonDocument samples = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, "samples.json")));
        StepDriver driver = new(runner, chunk: 64);
        List<(DrivenSequence Driven, int[] Expected, string Text)> runs = [];
        foreach (JsonElement sample in samples.RootElement.EnumerateArray())
        {
            int[] expected = GoldenPrompt.Ints(sample.GetProperty("output_ids"));
            int[] prompt = GoldenPrompt.Ints(sample.GetProperty("prompt_ids"));
            runs.Add((driver.Add(prompt, new SamplingParams { Temperature = 0 }, expected.Length), expected, sample.GetProperty("text").GetString()!));
        }
        Assert.True(runs.Count >= 10, $"samples.json holds {runs.Count} samples");
        driver.Run();
        Assert.All(runs, run => Assert.Equal(run.Expected, run.Driven.Output));
        Assert.All(runs, run => Assert.Equal(run.Text, tokenizer.Decode(run.Driven.Output, skipSpecialTokens: true)));
    }

    [Fact]
    public void Demo_prompts_and_chats_encode_to_their_recorded_ids()
    {
        ModelTokenizer tokenizer = ModelTokenizer.Load(Folder);
        ChatTemplate template = ChatTemplate.TryLoad(Folder)!;
        using JsonDocument samples = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, "samples.json")));
        foreach (JsonElement sample in samples.RootElement.EnumerateArray())
        {
            int[] found = sample.TryGetProperty("messages", out JsonElement messages)
                ? tokenizer.EncodeSegments(template.Render(messages, new ChatTemplateOptions { AddGenerationPrompt = true }))
                : tokenizer.Encode(sample.GetProperty("prompt").GetString()!);
            Assert.Equal(GoldenPrompt.Ints(sample.GetProperty("prompt_ids")), found);
        }
    }
}
