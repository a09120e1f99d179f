using NativeLM.Engine;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// The law through the whole engine: parallel samples, cached prefixes, preemption by either way and steps planned ahead change no bit of any
/// output.
/// </summary>
public sealed class EngineSharingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public EngineSharingTests() => Runners.WriteRandom(_folder);

    public void Dispose() => _folder.Dispose();

    public static MatrixTheoryData<DeviceKind, Toggle> Paths => new(Devices.All, [Toggle.Off, Toggle.On]);

    public static MatrixTheoryData<PreemptionMode, Toggle, bool> Schedules =>
        new([PreemptionMode.Recompute, PreemptionMode.Swap, PreemptionMode.Auto, PreemptionMode.ByGroupSize], [Toggle.Off, Toggle.On], [false, true]);

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Parallel_samples_are_those_of_requests_with_their_seeds(DeviceKind device, Toggle ahead)
    {
        Devices.Require(device);
        await using LlmEngine engine = LlmEngine.Load(Options(device, ahead));
        foreach (SamplingParams sampling in Samplings())
        {
            SamplingParams several = sampling with { N = 3, BestOf = 4 };
            Generation generation = engine.Submit(Request(21, several));
            string[] together = (await Outputs.Read(generation)).Fingerprints;
            Assert.Equal(3, generation.Sharing!.CopiesOnWrite); // of the prompt's last block, by all but the last to write
            for (int i = 0; i < together.Length; i++)
            {
                SamplingParams single = sampling with { Seed = Sequence.SeedOf(sampling.Seed!.Value, i) };
                Assert.Equal((await Outputs.Read(engine.Submit(Request(21, single)))).Fingerprints[0], together[i]);
            }
            Assert.Equal(4, together.Distinct().Count());
        }
    }

    [Theory]
    [MemberData(nameof(Schedules))]
    public async Task Preemption_and_cached_prefixes_change_no_bit(PreemptionMode mode, Toggle ahead, bool caches)
    {
        (string[] plain, SharingReport[] none) = await Run(Options(DeviceKind.Cpu, Toggle.Off) with { EnablePrefixCaching = false });
        Assert.All(none, report => Assert.Equal((0, 0, 0), (report.PreemptionsByRecompute, report.PreemptionsBySwap, report.PromptBlocksFromCache)));
        EngineOptions tiny = Options(DeviceKind.Cpu, ahead) with
        {
            BlockCountOverride = 30,
            EnablePrefixCaching = caches,
            PreemptionMode = mode,
            SwapSpaceBytes = mode == PreemptionMode.Recompute ? 0 : 64 << 10, // some ten blocks: it runs out at times
        };
        (string[] found, SharingReport[] sharing) = await Run(tiny);
        Assert.Equal(plain, found);
        int recomputed = sharing.Sum(report => report.PreemptionsByRecompute), swapped = sharing.Sum(report => report.PreemptionsBySwap);
        Assert.True(recomputed + swapped > 0, "the pool is so large that nothing was preempted");
        if (mode != PreemptionMode.Auto)
            Assert.Equal(mode != PreemptionMode.Recompute, swapped > 0);
        Assert.Equal(caches, sharing.Sum(report => report.PromptBlocksFromCache) > 0);
    }

    [Theory]
    [InlineData(PreemptionMode.Recompute)]
    [InlineData(PreemptionMode.Swap)]
    public async Task Nor_do_they_with_the_gpus_kernels(PreemptionMode mode)
    {
        Devices.Require(DeviceKind.Emulated);
        (string[] plain, _) = await Run(Options(DeviceKind.Emulated, Toggle.Off) with { EnablePrefixCaching = false }, count: 10);
        EngineOptions tiny = Options(DeviceKind.Emulated, Toggle.On) with
        {
            Graphs = Toggle.On,
            BlockCountOverride = 24,
            PreemptionMode = mode,
            SwapSpaceBytes = 64 << 10,
        };
        (string[] found, SharingReport[] sharing) = await Run(tiny, count: 10);
        Assert.Equal(plain, found);
        Assert.True(sharing.Sum(report => mode == PreemptionMode.Swap ? report.PreemptionsBySwap : report.PreemptionsByRecompute) > 0);
    }

    private EngineOptions Options(DeviceKind device, Toggle ahead) => Runners.Options(_folder.Path) with
    {
        Device = device,
        AsyncScheduling = ahead,
        MaxSequences = 16,
        MaxBatchedTokens = 32,
        MaxModelLength = 96,
        KvCacheMemoryBytes = 4 << 20,
        BlockSize = 8,
        MaxQueuedRequests = 1000,
    };

    private static async Task<(string[] Outputs, SharingReport[] Sharing)> Run(EngineOptions options, int count = 24)
    {
        await using LlmEngine engine = LlmEngine.Load(options);
        Generation[] generations = [.. Requests(count).Select(engine.Submit)];
        Outputs[] outputs = await Task.WhenAll(generations.Select(Outputs.Read));
        return (
            [.. outputs.SelectMany((output, i) => output.Fingerprints.Append(string.Join(' ', generations[i].BeamScores.Select(Outputs.Bits))))],
            [.. generations.Select(generation => generation.Sharing!)]);
    }

    /// <summary>Single and parallel samples and beams of every kind of row; half of the prompts begin alike.</summary>
    private static IEnumerable<GenerationRequest> Requests(int count)
    {
        SamplingParams[] samplings = [.. Samplings()];
        for (int i = 0; i < count; i++)
        {
            SamplingParams sampling = samplings[i % samplings.Length] with { Seed = (ulong)i, MaxTokens = 10 + (i % 20) };
            yield return Request(i % 2 == 0 ? 33 : 4 + (2 * i), (i % 4) switch
            {
                0 => sampling with { N = 3 },
                1 => sampling,
                2 => sampling with { N = 2, BestOf = 4, StopTokenIds = [.. Enumerable.Range(0, 40)] },
                _ => new SamplingParams { Temperature = 0, UseBeamSearch = true, N = 2, BestOf = 4, MaxTokens = 20, StopTokenIds = [5] },
            });
        }
    }

    private static IEnumerable<SamplingParams> Samplings()
    {
        SamplingParams sampling = new() { Temperature = 1, Logprobs = 1, Seed = 77, MaxTokens = 24, IgnoreEos = true };
        yield return sampling;
        yield return sampling with { FrequencyPenalty = 0.7f, PresencePenalty = 0.3f, RepetitionPenalty = 1.2f };
        yield return sampling with { AllowedTokenIds = [.. Enumerable.Range(100, 200)], MinP = 0.02f };
        yield return sampling with { TopK = 12, LogitBias = [new(7, 2), new(310, 1)], StopTokenIds = [7, 310], MinTokens = 4 };
    }

    private static GenerationRequest Request(int promptCount, SamplingParams sampling) =>
        new() { PromptIds = (int[])[.. Enumerable.Range(3, promptCount).Select(i => i * 37 % 500)], Sampling = sampling, ReportSharing = true };
}
