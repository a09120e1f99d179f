using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Beams of random-weight models against those that Hugging Face transformers found (float32): tokens exactly, scores to 1e-3.</summary>
public sealed class BeamGoldenTests
{
    private const float Tolerance = 1e-3f;

    public static TheoryData<string> Cases => TransformersGoldenTests.EmulatedCases;

    [Theory]
    [MemberData(nameof(Cases))]
    public void Beams_of_all_prompts_side_by_side_are_those_of_transformers(string model)
    {
        using ModelRunner runner = Runners.Load(TestData.RequireGolden(model));
        List<GoldenBeams> runs = GoldenBeams.Read(TestData.RequireGolden($"{model}/goldens.json"));
        Assert.Equal(20, runs.Count);
        foreach (IGrouping<int, GoldenBeams> setting in runs.GroupBy(run => run.Setting))
            Check([.. setting], BeamDriver.Run(runner, [.. setting], out _));
    }

    [Fact]
    public void The_gpus_kernels_find_the_same_beams_in_replayed_steps()
    {
        Devices.Require(DeviceKind.Emulated);
        using ModelRunner runner = Runners.Load(TestData.RequireGolden("llama-gqa"), options => options with
        {
            Device = DeviceKind.Emulated,
            Graphs = Toggle.On,
            MaxBatchedTokens = 192,
            KvCacheMemoryBytes = 16 << 20,
        });
        GoldenBeams[] runs = [.. GoldenBeams.Read(TestData.RequireGolden("llama-gqa/goldens.json")).Where(run => run.Setting == 3)];
        Check(runs, BeamDriver.Run(runner, runs, out int replays));
        Assert.Equal(runs[0].OutputMax - 1, replays); // all steps but the prompts'
    }

    private static void Check(GoldenBeams[] runs, IReadOnlyList<BeamHypothesis>[] found)
    {
        for (int i = 0; i < runs.Length; i++)
        {
            Assert.Equal(runs[i].Sequences, found[i].Select(beam => beam.Tokens));
            for (int rank = 0; rank < runs[i].Scores.Length; rank++)
                Assert.Equal(runs[i].Scores[rank], found[i][rank].Score, Tolerance);
        }
    }
}
