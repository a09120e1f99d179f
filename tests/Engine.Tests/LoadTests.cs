using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The bundled demo model, loaded and run by the whole engine.</summary>
public sealed class LoadTests : IDisposable
{
    private static readonly string Demo = Path.Combine(TestData.ProjectRoot, "models", "demo");
    private readonly string _folder = Directory.CreateTempSubdirectory("nativelm-load-").FullName;

    private static EngineOptions Options(string folder) => new()
    {
        ModelPath = folder,
        Device = DeviceKind.Cpu,
        Threads = 1,
        MaxSequences = 8,
        KvCacheMemoryBytes = 8 << 20,
    };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_loaded_model_says_what_it_is_and_repeats_itself_when_greedy()
    {
        await using LlmEngine engine = LlmEngine.Load(Options(Demo));
        Assert.Equal(("demo", "LlamaForCausalLM"), (engine.Info.ModelName, engine.Info.Architecture));
        Assert.NotNull(engine.ChatTemplate);
        Assert.NotEmpty(engine.Info.StartupReport);
        Assert.StartsWith("cpu", engine.Info.Device);
        GenerationRequest request = new()
        {
            PromptIds = engine.Tokenizer.Encode("Once upon a time", addSpecialTokens: true).ToArray(),
            Sampling = new SamplingParams { Temperature = 0, MaxTokens = 20, Logprobs = 2, PromptLogprobs = 1 },
        };
        List<TokenEvent> once = await engine.Submit(request).ReadAll();
        List<TokenEvent>[] again = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => engine.Submit(request).ReadAll()));
        Assert.Equal(request.PromptIds.Length, once[0].PromptLogprobs!.Count);
        Assert.All(once, e => Assert.True(e.Logprob <= 0 && e.TopLogprobs!.Count == 2));
        foreach (List<TokenEvent> other in again)
            Assert.Equal(once.Select(e => (e.TokenId, e.Logprob)), other.Select(e => (e.TokenId, e.Logprob)));
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Theory]
    [InlineData(Toggle.Off, Toggle.Off)]
    [InlineData(Toggle.On, Toggle.Off)]
    [InlineData(Toggle.On, Toggle.On)]
    public async Task A_steady_decode_step_of_a_real_model_allocates_nothing_on_the_engine_thread(Toggle graphs, Toggle ahead)
    {
        EngineOptions options = Options(Demo) with { Graphs = graphs, AsyncScheduling = ahead };
        MeasuringExecutor executor = new(ModelRunner.Load(options));
        await using (LlmEngine engine = new(executor, executor.Describe(), options))
            await Task.WhenAll(Enumerable.Range(0, 4).Select(i => engine.Submit(new GenerationRequest
            {
                PromptIds = new[] { 5 + i, 6, 7, 8 },
                Sampling = new SamplingParams { IgnoreEos = true, MaxTokens = 140, Seed = 3 },
            }).ReadAll()));
        // Tokens 79 to 119: neither token arrays (68, 136) nor block tables (8 blocks of 16) grow there.
        long[] growth = [.. Enumerable.Range(75, 40).Select(step => executor.Allocated[step + 1] - executor.Allocated[step]).Order()];
        Assert.Equal(0, growth[growth.Length * 9 / 10]);
    }

    [Theory]
    [InlineData("{\"temperature\": -5}", "temperature")]
    [InlineData("{\"top_p\": 0}", "top_p")]
    [InlineData("{\"repetition_penalty\": 1e38}", "repetition_penalty")]
    [InlineData("{\"max_new_tokens\": 0}", "max_new_tokens")]
    [InlineData("[]", "object")]
    [InlineData("{\"top_k\": 1e9999}", "top_k")]
    public void A_hostile_generation_config_is_refused_at_load(string content, string named)
    {
        foreach (string file in Directory.EnumerateFiles(Demo, "*.json").Append(Path.Combine(Demo, "model.safetensors")))
            File.Copy(file, Path.Combine(_folder, Path.GetFileName(file)));
        File.WriteAllText(Path.Combine(_folder, "generation_config.json"), content);
        ModelLoadException refused = Assert.Throws<ModelLoadException>(() => LlmEngine.Load(Options(_folder)));
        Assert.Contains("generation_config.json", refused.Message);
        Assert.Contains(named, refused.Message);
    }

    [Fact]
    public void A_folder_that_is_no_model_is_refused_by_name()
    {
        Assert.Contains("config.json", Assert.Throws<ModelLoadException>(() => LlmEngine.Load(Options(_folder))).Message);
        Assert.Throws<ModelLoadException>(() => LlmEngine.Load(Options(Path.Combine(_folder, "absent"))));
    }

    /// <summary>Notes what the engine thread has allocated at the start of each step.</summary>
    private sealed class MeasuringExecutor(ModelRunner runner) : IStepExecutor
    {
        public List<long> Allocated { get; } = new(4096);

        public void Launch(StepPlan plan)
        {
            Allocated.Add(GC.GetAllocatedBytesForCurrentThread());
            runner.Launch(plan);
        }

        public void Collect(StepPlan plan, StepResult result) => runner.Collect(plan, result);

        public EngineInfo Describe() => new()
        {
            ModelName = "demo",
            Architecture = runner.Config.ArchitectureName,
            DType = runner.TypeName,
            Device = runner.DeviceDescription,
            MaxModelLength = runner.MaxModelLength,
            VocabularySize = runner.VocabularySize,
            BlockSize = runner.BlockSize,
            BlockCount = runner.KvBlockCount,
            MaxSequences = runner.MaxSequences,
            MaxBatchedTokens = runner.MaxBatchedTokens,
            EosTokenIds = runner.EosTokenIds,
            IsAsync = runner.IsAsync,
        };

        public void Dispose() => runner.Dispose();
    }
}
