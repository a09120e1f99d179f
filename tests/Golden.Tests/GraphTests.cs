using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Replayed decode steps: which steps they are, and that nobody can tell them from called ones.</summary>
public sealed class GraphTests : IDisposable
{
    private const int Sequences = 16;

    private readonly TemporaryFolder _folder = new();

    public GraphTests() => Runners.WriteRandom(_folder);

    public void Dispose() => _folder.Dispose();

    public static MatrixTheoryData<DeviceKind, ModelDType> Paths => new(Devices.All, [ModelDType.Float32, ModelDType.BFloat16]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void A_replayed_step_has_the_bits_of_a_called_one_in_every_bucket(DeviceKind device, ModelDType type)
    {
        string[] called = Run(device, type, Toggle.Off, Sequences, out Dictionary<int, int> none);
        string[] replayed = Run(device, type, Toggle.On, Sequences, out Dictionary<int, int> buckets);
        Assert.Equal(called, replayed);
        Assert.Empty(none);
        Assert.Equal([1, 2, 4, 8, 16], buckets.Keys.Order());
        // Another limit has other buckets: 1, 2, 4, 8, 13.
        Assert.Equal(called[..13], Run(device, type, Toggle.On, 13, out buckets));
        Assert.Equal([1, 2, 4, 8, 13], buckets.Keys.Order());
    }

    [Theory]
    [MemberData(nameof(Devices.Each), MemberType = typeof(Devices))]
    public void Prompts_and_their_log_probabilities_are_called_and_decodes_replayed(DeviceKind device)
    {
        using ModelRunner runner = Load(device, ModelDType.Float32, Toggle.On, Sequences);
        StepDriver driver = new(runner);
        driver.Add([1, 2, 3], new SamplingParams { Temperature = 0 }, 5);
        driver.Add([4, 5, 6, 7], new SamplingParams { Temperature = 0, PromptLogprobs = 1, Logprobs = 3 }, 3);
        List<int> rows = [];
        driver.Run(d => rows.Add(d.LastReplay));
        rows.Add(driver.LastReplay);
        Assert.Equal([0, 0, 2, 2, 1, 1], rows); // before the first step nothing ran; then the prompts, two decodes, one decode
    }

    [Theory]
    [InlineData(1, new[] { 1 })]
    [InlineData(3, new[] { 1, 2, 3 })]
    [InlineData(8, new[] { 1, 2, 4, 8 })]
    [InlineData(40, new[] { 1, 2, 4, 8, 16, 24, 32, 40 })]
    [InlineData(100, new[] { 1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 100 })]
    public void Buckets_grow_by_steps_of_their_size(int rowsMax, int[] buckets) => Assert.Equal(buckets, GraphCache.Buckets(rowsMax));

    [Fact]
    public void Large_limits_have_few_buckets()
    {
        int[] buckets = GraphCache.Buckets(1024);
        Assert.Equal(39, buckets.Length);
        Assert.Equal((512, 576, 1024), (buckets[30], buckets[31], buckets[^1]));
    }

    /// <summary>Sequences that end one after another, so that every batch size occurs.</summary>
    private string[] Run(DeviceKind device, ModelDType type, Toggle graphs, int count, out Dictionary<int, int> stepsOfBucket)
    {
        using ModelRunner runner = Load(device, type, graphs, count);
        StepDriver driver = new(runner);
        List<DrivenSequence> driven = [];
        for (int i = 0; i < count; i++)
            driven.Add(driver.Add([1 + i, 40 + i, 7], Sampling(i), 2 + i, seed: (ulong)i));
        Dictionary<int, int> steps = [];
        driver.Run(d => Count(d.LastReplay));
        Count(driver.LastReplay);
        stepsOfBucket = steps;
        return [.. driven.Select(sequence => sequence.Fingerprint)];

        void Count(int rows)
        {
            if (rows > 0)
                steps[rows] = steps.GetValueOrDefault(rows) + 1;
        }
    }

    private static SamplingParams Sampling(int i) => (i % 4) switch
    {
        0 => new SamplingParams { Temperature = 0, Logprobs = 2 },
        1 => new SamplingParams { Temperature = 1, TopP = 0.9f, Logprobs = 0 },
        2 => new SamplingParams { Temperature = 1, TopK = 20, FrequencyPenalty = 0.5f, RepetitionPenalty = 1.2f, Logprobs = 0 },
        _ => new SamplingParams { Temperature = 1, LogitBias = [new(17, 3)], AllowedTokenIds = [.. Enumerable.Range(5, 300)], Logprobs = 1 },
    };

    private ModelRunner Load(DeviceKind device, ModelDType type, Toggle graphs, int sequences)
    {
        Devices.Require(device);
        return Runners.Load(_folder.Path, options => options with
        {
            Device = device,
            DType = type,
            Graphs = graphs,
            MaxSequences = sequences,
            MaxBatchedTokens = 64,
            MaxModelLength = 128,
            KvCacheMemoryBytes = 4 << 20,
        });
    }
}
