using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Random-weight models whose logits, log-probabilities and greedy tokens Hugging Face transformers computed (float32).</summary>
public sealed class TransformersGoldenTests
{
    private const float Tolerance = 3e-4f;
    private const int OutputCount = 48;

    public static TheoryData<string> EmulatedCases =>
        ["llama-gqa", "llama-mha", "llama-bias", "llama-headdim32", "llama-rope-linear", "llama-rope-llama3", "llama-rope-yarn", "llama-tied-mqa"];

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (string model in (string[])["llama-gqa", "llama-mha", "llama-bias", "llama-headdim32", "llama-rope-linear", "llama-rope-llama3",
            "llama-rope-yarn", "llama-tied-mqa", "mistral-swa24", "qwen2", "qwen3"])
        {
            cases.Add(model, "config.json");
            cases.Add(model, "config_v4_style.json");
        }
        cases.Add("llama-gqa/bf16", "config.json");
        cases.Add("llama-gqa/sharded", "config.json");
        cases.Add("qwen3/bf16", "config.json");
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_hidden_values_and_prompt_log_probabilities_match_transformers(string model, string config)
    {
        using Opened opened = Opened.Open(model, config);
        foreach (GoldenPrompt prompt in opened.Prompts)
        {
            StepDriver driver = new(opened.Runner);
            driver.Add(prompt.Ids, new SamplingParams { Temperature = 0 }, 1);
            driver.Run();
            AssertClose(prompt.LastLogits, opened.Runner.LastLogits(0));
            AssertClose(prompt.HiddenLast, opened.Runner.LastHidden(0));

            driver = new StepDriver(opened.Runner, chunk: 40);
            DrivenSequence scored = driver.Add(prompt.Ids, new SamplingParams { Temperature = 0, PromptLogprobs = 0 }, 1);
            driver.Run();
            Assert.Equal(prompt.Ids.Length - 1, scored.PromptLogprobs.Count);
            AssertClose(prompt.PromptLogprobs.AsSpan(1), scored.PromptLogprobs.Values.Select(entry => entry.Logprob).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Greedy_tokens_match_transformers_alone_and_in_one_batch(string model, string config)
    {
        using Opened opened = Opened.Open(model, config);
        foreach (GoldenPrompt prompt in opened.Prompts)
        {
            StepDriver alone = new(opened.Runner);
            Check(prompt, alone.Add(prompt.Ids, Greedy, OutputCount), alone);
        }
        StepDriver batch = new(opened.Runner, chunk: 16);
        List<DrivenSequence> driven = [.. opened.Prompts.Select(prompt => batch.Add(prompt.Ids, Greedy, OutputCount))];
        for (int i = 0; i < driven.Count; i++)
            Check(opened.Prompts[i], driven[i], batch);
    }

    [Theory]
    [MemberData(nameof(EmulatedCases))]
    public void Greedy_tokens_of_the_gpus_kernels_match_transformers(string model)
    {
        Devices.Require(DeviceKind.Emulated);
        using Opened opened = Opened.Open(model, "config.json", options => options with
        {
            Device = DeviceKind.Emulated,
            Graphs = Toggle.On,
            MaxSequences = 4,
            MaxBatchedTokens = 64,
            KvCacheMemoryBytes = 16 << 20,
        });
        StepDriver batch = new(opened.Runner, chunk: 16);
        List<DrivenSequence> driven = [.. opened.Prompts.Select(prompt => batch.Add(prompt.Ids, Greedy, OutputCount))];
        for (int i = 0; i < driven.Count; i++)
            Check(opened.Prompts[i], driven[i], batch);
        Assert.True(batch.LastReplay > 0);
    }

    private static SamplingParams Greedy { get; } = new() { Temperature = 0, Logprobs = 5 };

    private static void Check(GoldenPrompt prompt, DrivenSequence driven, StepDriver driver)
    {
        driver.Run();
        Assert.Equal(prompt.Greedy, driven.Output);
        for (int i = 0; i < OutputCount; i++)
            AssertClose(prompt.TopLogprobs[i], driven.Alternatives[i].Select(entry => entry.Logprob).ToArray());
    }

    private static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> found)
    {
        Assert.Equal(expected.Length, found.Length);
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - found[i]) <= Tolerance, $"entry {i}: found {found[i]}, needed {expected[i]} within {Tolerance}");
    }

    private sealed record Opened(ModelRunner Runner, List<GoldenPrompt> Prompts, TemporaryFolder? Copy) : IDisposable
    {
        public static Opened Open(string model, string config, Func<EngineOptions, EngineOptions>? change = null)
        {
            string folder = TestData.RequireGolden(model);
            List<GoldenPrompt> prompts = GoldenPrompt.Read(TestData.RequireGolden($"{model.Split('/')[0]}/goldens.json"));
            if (config == "config.json")
                return new Opened(Runners.Load(folder, change), prompts, null);
            TemporaryFolder copy = new();
            File.Copy(Path.Combine(folder, config), copy["config.json"]);
            File.Copy(Path.Combine(folder, "model.safetensors"), copy["model.safetensors"]);
            return new Opened(Runners.Load(copy.Path, change), prompts, copy);
        }

        public void Dispose()
        {
            Runner.Dispose();
            Copy?.Dispose();
        }
    }
}
