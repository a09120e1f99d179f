using NativeLM.Benchmarks;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The law: tokens and log-probability bits of a sequence depend on nothing but the sequence, in every precision.</summary>
public sealed class InvarianceTests : IDisposable
{
    private const int OutputCount = 24;
    private const int EmulatedOutputCount = 6;

    private readonly TemporaryFolder _folder = new();

    public InvarianceTests() => Runners.WriteRandom(_folder, RandomModelShape.Tiny with { Heads = 8, KvHeads = 2, HeadDim = 32 });

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(ModelDType.Float32)]
    [InlineData(ModelDType.BFloat16)]
    [InlineData(ModelDType.Float16)]
    public void A_sequence_has_the_same_bits_however_it_is_run(ModelDType type)
    {
        string[] alone;
        using (ModelRunner runner = Load(type, blockSize: 16, threads: 1))
        {
            alone = [.. Requests().Select((_, i) => RunAlone(runner, i))];
            Assert.Equal(alone, RunTogether(runner, chunk: 16));
            Assert.Equal(alone, RunTogether(runner, chunk: 512));
            Assert.Equal(alone, RunTogether(runner, chunk: 7, preempt: true));
        }
        foreach ((int blockSize, int threads) in (ReadOnlySpan<(int, int)>)[(8, 2), (32, 1), (16, 2)])
        {
            using ModelRunner runner = Load(type, blockSize, threads);
            Assert.Equal(alone, RunTogether(runner, chunk: 33));
            Assert.Equal(alone[0], RunAlone(runner, 0));
        }
    }

    // The GPU's kernels obey the same law; on the emulator with fewer and shorter runs, and decodes replayed or not.
    [Theory]
    [InlineData(ModelDType.Float32)]
    [InlineData(ModelDType.BFloat16)]
    public void A_sequence_has_the_same_bits_however_the_gpus_kernels_run_it(ModelDType type)
    {
        string[] alone;
        using (ModelRunner runner = LoadEmulated(type, blockSize: 16, Toggle.Off))
        {
            alone = [.. Requests().Select((_, i) => RunAlone(runner, i, EmulatedOutputCount))];
            Assert.Equal(alone, RunTogether(runner, chunk: 512, outputCount: EmulatedOutputCount));
        }
        using (ModelRunner runner = LoadEmulated(type, blockSize: 32, Toggle.On))
            Assert.Equal(alone, RunTogether(runner, chunk: 50, preempt: true, EmulatedOutputCount));
        using (ModelRunner runner = LoadEmulated(type, blockSize: 8, Toggle.On))
            Assert.Equal(alone, RunTogether(runner, chunk: 129, outputCount: EmulatedOutputCount));
    }

    [Fact]
    public void Requests_with_different_seeds_differ()
    {
        using ModelRunner runner = Load(ModelDType.Float32, 16, 2);
        StepDriver driver = new(runner);
        SamplingParams sampling = new() { Temperature = 1 };
        DrivenSequence first = driver.Add([1, 5, 9], sampling, OutputCount, seed: 1), second = driver.Add([1, 5, 9], sampling, OutputCount, seed: 2);
        driver.Run();
        Assert.NotEqual(first.Output, second.Output);
    }

    private ModelRunner Load(ModelDType type, int blockSize, int threads) => Runners.Load(_folder.Path,
        options => options with { DType = type, BlockSize = blockSize, Threads = threads, KvCacheMemoryBytes = 16 << 20 });

    private ModelRunner LoadEmulated(ModelDType type, int blockSize, Toggle graphs)
    {
        Devices.Require(DeviceKind.Emulated);
        return Runners.Load(_folder.Path, options => options with
        {
            Device = DeviceKind.Emulated,
            DType = type,
            BlockSize = blockSize,
            Graphs = graphs,
            MaxSequences = 8,
            KvCacheMemoryBytes = 4 << 20,
        });
    }

    // Prompts below, at and above the tile of 64 keys and the split of 256; greedy, sampled, penalised, with log-probabilities.
    private static List<(int[] Prompt, SamplingParams Sampling)> Requests()
    {
        Random random = new(11);
        int[] Prompt(int length) => [.. Enumerable.Range(0, length).Select(_ => random.Next(3, 512))];
        return
        [
            (Prompt(300), new SamplingParams { Temperature = 0.8f, TopP = 0.95f, Logprobs = 3, PromptLogprobs = 2 }),
            (Prompt(1), new SamplingParams { Temperature = 0, Logprobs = 0 }),
            (Prompt(64), new SamplingParams { Temperature = 1, TopK = 40, Logprobs = 1 }),
            (Prompt(65), new SamplingParams
            {
                Temperature = 0.5f,
                RepetitionPenalty = 1.3f,
                FrequencyPenalty = 0.5f,
                PresencePenalty = 0.2f,
                Logprobs = 0,
            }),
            (Prompt(255), new SamplingParams { Temperature = 1, MinP = 0.05f, LogitBias = [new(17, 5), new(23, -100)], Logprobs = 0 }),
            (Prompt(20), new SamplingParams { Temperature = 1.2f, AllowedTokenIds = [.. Enumerable.Range(100, 200)], Logprobs = 0 }),
        ];
    }

    private static string RunAlone(ModelRunner runner, int index, int outputCount = OutputCount)
    {
        (int[] prompt, SamplingParams sampling) = Requests()[index];
        StepDriver driver = new(runner);
        DrivenSequence driven = driver.Add(prompt, sampling, outputCount, seed: (ulong)index);
        driver.Run();
        return driven.Fingerprint;
    }

    private static IEnumerable<string> RunTogether(ModelRunner runner, int chunk, bool preempt = false, int outputCount = OutputCount)
    {
        StepDriver driver = new(runner, chunk, seed: chunk);
        List<DrivenSequence> driven = [.. Requests().Select(
            (request, i) => driver.Add(request.Prompt, request.Sampling, outputCount, seed: (ulong)i))];
        Random random = new(5);
        driver.Run(preempt ? d => { if (random.Next(8) == 0) d.Preempt(driven[random.Next(driven.Count)]); } : null);
        return [.. driven.Select(sequence => sequence.Fingerprint)];
    }
}
