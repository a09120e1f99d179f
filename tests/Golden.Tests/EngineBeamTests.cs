using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The beams of transformers through the whole engine: prompts computed once, forks by reference, copies on write, preemption.</summary>
public sealed class EngineBeamTests
{
    private const float Tolerance = 1e-3f;

    public static TheoryData<string> Cases => TransformersGoldenTests.EmulatedCases;

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task All_searches_of_a_model_at_once_find_the_beams_of_transformers(string model)
    {
        await using LlmEngine engine = LlmEngine.Load(Options(model));
        SharingReport[] sharing = await Check(engine, model);
        Assert.All(sharing, report => Assert.True(report.CopiesOnWrite > 0));
        Assert.Contains(sharing, report => report.PromptBlocksFromCache == 9); // each prompt is searched five times; the longest has 150 tokens
    }

    [Theory]
    [InlineData(PreemptionMode.Recompute, Toggle.Off)]
    [InlineData(PreemptionMode.Recompute, Toggle.On)]
    [InlineData(PreemptionMode.Swap, Toggle.Off)]
    [InlineData(PreemptionMode.Swap, Toggle.On)]
    public async Task Searches_that_preempt_one_another_find_them_too(PreemptionMode mode, Toggle ahead)
    {
        await using LlmEngine engine = LlmEngine.Load(Options("llama-gqa") with
        {
            AsyncScheduling = ahead,
            BlockCountOverride = 40, // a search of the longest prompt can need 18 blocks that are shared and four times 4 of its own
            SwapSpaceBytes = mode == PreemptionMode.Swap ? 4 << 20 : 0,
            PreemptionMode = mode,
            BlockSize = 8,
        });
        SharingReport[] sharing = await Check(engine, "llama-gqa");
        int recomputed = sharing.Sum(report => report.PreemptionsByRecompute), swapped = sharing.Sum(report => report.PreemptionsBySwap);
        Assert.True(mode == PreemptionMode.Swap ? swapped > 0 : recomputed > 0, $"{recomputed} were recomputed and {swapped} swapped");
    }

    // A step then has more rows of logits than are computed at once; beams must be found before the next piece takes the place of theirs.
    [Fact]
    public async Task Prompts_that_are_scored_beside_them_disturb_no_search_and_are_not_disturbed()
    {
        await using LlmEngine engine = LlmEngine.Load(Options("llama-mha") with { MaxBatchedTokens = 192 });
        GoldenPrompt longest = GoldenPrompt.Read(TestData.RequireGolden("llama-mha/goldens.json"))[3];
        Assert.Equal(150, longest.Ids.Length);
        Task<SharingReport[]> searches = Check(engine, "llama-mha");
        SamplingParams scoring = new() { Temperature = 0, MaxTokens = 1, PromptLogprobs = 0 };
        for (int i = 0; i < 10; i++)
        {
            PromptLogprob[] scores = [];
            await foreach (TokenEvent e in engine.Submit(new GenerationRequest { PromptIds = longest.Ids, Sampling = scoring }))
                scores = [.. e.PromptLogprobs ?? []];
            Assert.Equal(longest.Ids.Length, scores.Length);
            Assert.All(scores.Zip(longest.PromptLogprobs).Skip(1), pair => Assert.Equal(pair.Second, pair.First.Logprob, 3e-4f));
        }
        await searches;
    }

    [Fact]
    public async Task The_gpus_kernels_find_them_too()
    {
        Devices.Require(DeviceKind.Emulated);
        await using LlmEngine engine = LlmEngine.Load(Options("llama-headdim32") with
        {
            Device = DeviceKind.Emulated,
            Graphs = Toggle.On,
            AsyncScheduling = Toggle.On,
            KvCacheMemoryBytes = 16 << 20,
        });
        await Check(engine, "llama-headdim32", setting: 4);
        Assert.True(engine.Metrics.GraphReplays.Value > 0);
    }

    private static EngineOptions Options(string model) => Runners.Options(TestData.RequireGolden(model)) with
    {
        MaxSequences = 24,
        MaxBatchedTokens = 64, // the longest prompt takes three steps
        MaxQueuedRequests = 1000,
    };

    private static async Task<SharingReport[]> Check(LlmEngine engine, string model, int? setting = null)
    {
        GoldenBeams[] runs =
            [.. GoldenBeams.Read(TestData.RequireGolden($"{model}/goldens.json")).Where(run => setting is null || run.Setting == setting)];
        Generation[] generations = [.. runs.Select(run => engine.Submit(Request(run)))];
        Outputs[] found = await Task.WhenAll(generations.Select(Outputs.Read));
        for (int i = 0; i < runs.Length; i++)
        {
            Assert.Equal(runs[i].Sequences, found[i].Tokens);
            for (int rank = 0; rank < runs[i].Scores.Length; rank++)
                Assert.Equal(runs[i].Scores[rank], generations[i].BeamScores[rank], Tolerance);
        }
        return [.. generations.Select(generation => generation.Sharing!)];
    }

    private static GenerationRequest Request(GoldenBeams run) => new()
    {
        PromptIds = run.Prompt,
        ReportSharing = true,
        Sampling = new SamplingParams
        {
            Temperature = 0,
            UseBeamSearch = true,
            N = run.Width,
            LengthPenalty = run.LengthPenalty,
            EarlyStopping = run.EarlyStopping,
            MaxTokens = run.OutputMax,
            IgnoreEos = true,
            StopTokenIds = [run.EndId],
        },
    };
}
