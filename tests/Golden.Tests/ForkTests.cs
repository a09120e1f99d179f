using NativeLM.Benchmarks;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Several sequences from one computation of a prompt, and blocks that are copied or moved: nobody can tell by the bits.</summary>
public sealed class ForkTests : IDisposable
{
    private const int Outputs = 12;

    private readonly TemporaryFolder _folder = new();

    public ForkTests() => Runners.WriteRandom(_folder);

    public void Dispose() => _folder.Dispose();

    public static MatrixTheoryData<DeviceKind, ModelDType> Paths => new(Devices.All, [ModelDType.Float32, ModelDType.BFloat16]);

    [Theory]
    [MemberData(nameof(Paths))]
    public void Draws_from_one_prompt_have_the_bits_of_runs_of_their_own(DeviceKind device, ModelDType type)
    {
        using ModelRunner runner = Load(device, type);
        foreach (int promptCount in (ReadOnlySpan<int>)[1, 21, 32])
            foreach (SamplingParams sampling in Samplings())
            {
                int[] prompt = Prompt(promptCount);
                Assert.Equal(Alone(runner, prompt, sampling, forks: 4), new Forked(runner, prompt, sampling, count: 4).Run());
            }
    }

    // Rows of prompt log-probabilities fill more than one piece of logits, and the forks' rows lie in the last.
    [Theory]
    [MemberData(nameof(Devices.Each), MemberType = typeof(Devices))]
    public void Forks_draw_beside_prompts_whose_log_probabilities_take_several_pieces(DeviceKind device)
    {
        using ModelRunner runner = Load(device, ModelDType.Float32);
        SamplingParams sampling = new() { Temperature = 1, Logprobs = 1, PromptLogprobs = 1 };
        string[] alone = Alone(runner, Prompt(90), sampling, forks: 3);
        string[] forked = [.. new Forked(runner, Prompt(90), sampling, count: 3).Run()];
        Assert.Equal(alone[0], forked[0]);
        // The prompt's are reported once, where it is computed.
        Assert.All(forked[1..].Zip(alone[1..]), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));
    }

    [Fact]
    public void A_row_that_draws_from_logits_nobody_computes_is_refused()
    {
        using ModelRunner runner = Load(DeviceKind.Cpu, ModelDType.Float32);
        Sequence first = NewSequence(Prompt(5), slot: 0, seed: 1, 1), fork = NewSequence(Prompt(5), slot: 1, seed: 2, 1);
        foreach (int row in (ReadOnlySpan<int>)[-1, 1, 2])
        {
            StepPlan plan = new(2, 0);
            plan.Add(new ScheduledSequence { Sequence = first, Count = 5, Samples = true, IsNewInSlot = true });
            plan.Add(new ScheduledSequence { Sequence = fork, Start = 5, Samples = true, LogitsRow = row, IsNewInSlot = true });
            Assert.Contains("row 1", Assert.Throws<InvalidOperationException>(() => runner.Launch(plan)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Blocks_that_were_swapped_out_while_others_used_their_place_come_back_as_they_were(DeviceKind device, ModelDType type)
    {
        using ModelRunner runner = Load(device, type);
        Sequence sequence = NewSequence(Prompt(21), slot: 0, seed: 3, 1, 2, 3), other = NewSequence(Prompt(40), slot: 1, seed: 4, 1, 2, 3, 4);
        string[] alone = Alone(runner, Prompt(21), sequence.Sampling, forks: 1, seed: 3);
        string[] otherAlone = Alone(runner, Prompt(40), other.Sampling, forks: 1, seed: 4);
        Steps steps = new(runner, [sequence, other]);
        for (int i = 0; i < 5; i++)
            steps.Run(plan => plan.Add(Row(sequence, isNew: i == 0)));
        // The step that moves the blocks away already computes another sequence in them.
        steps.Run(plan =>
        {
            foreach (int block in (ReadOnlySpan<int>)[1, 2, 3])
                plan.AddSwapOut(new BlockSwap(block, 6 - block));
            plan.Add(Row(other, isNew: true));
        });
        steps.Run(plan => plan.Add(Row(other)));
        // Back into other blocks, one of which is copied on within the same step.
        sequence.Blocks.Truncate(0);
        foreach (int block in (ReadOnlySpan<int>)[9, 12, 7])
            sequence.Blocks.Add(block);
        steps.Run(plan =>
        {
            plan.AddSwapIn(new BlockSwap(9, 5));
            plan.AddSwapIn(new BlockSwap(8, 4));
            plan.AddSwapIn(new BlockSwap(7, 3));
            plan.Add(new BlockCopy(8, 12));
            plan.Add(Row(sequence, isNew: true));
            plan.Add(Row(other));
        });
        while (sequence.OutputCount < Outputs || other.OutputCount < Outputs)
            steps.Run(plan =>
            {
                foreach (Sequence left in (Sequence[])[sequence, other])
                    if (left.OutputCount < Outputs)
                        plan.Add(Row(left));
            });
        Assert.Equal([.. alone, .. otherAlone], steps.Fingerprints);
    }

    // A step is launched while the one before, which computes in the same blocks, is on its way: it moves them out, computes another sequence in
    // their place, and the step after that, launched ahead as well, moves them back.
    [Theory]
    [MemberData(nameof(Devices.Each), MemberType = typeof(Devices))]
    public void Steps_launched_ahead_move_blocks_after_the_steps_before_have_used_them(DeviceKind device)
    {
        using ModelRunner runner = Load(device, ModelDType.Float32);
        Sequence sequence = NewSequence(Prompt(21), slot: 0, seed: 3, 1, 2, 3), other = NewSequence(Prompt(40), slot: 1, seed: 4, 1, 2, 3, 4);
        string[] alone =
            [.. Alone(runner, Prompt(21), sequence.Sampling, forks: 1, seed: 3), .. Alone(runner, Prompt(40), other.Sampling, forks: 1, seed: 4)];
        Steps steps = new(runner, [sequence, other]);
        steps.Run(plan => plan.Add(Row(sequence, isNew: true)));
        Action[] collects =
        [
            steps.Launch(plan => plan.Add(Row(sequence))),
            steps.Launch(plan =>
            {
                foreach (int block in (ReadOnlySpan<int>)[1, 2, 3])
                    plan.AddSwapOut(new BlockSwap(block, block));
                plan.Add(Row(other, isNew: true));
            }),
        ];
        collects[0]();
        sequence.Blocks.Truncate(0);
        foreach (int block in (ReadOnlySpan<int>)[5, 6, 7])
            sequence.Blocks.Add(block);
        collects[0] = steps.Launch(plan =>
        {
            foreach (int block in (ReadOnlySpan<int>)[1, 2, 3])
                plan.AddSwapIn(new BlockSwap(block + 4, block));
            plan.Add(Row(sequence, isNew: true));
        });
        collects[1]();
        collects[0]();
        while (sequence.OutputCount < Outputs || other.OutputCount < Outputs)
            steps.Run(plan =>
            {
                foreach (Sequence left in (Sequence[])[sequence, other])
                    if (left.OutputCount < Outputs)
                        plan.Add(Row(left));
            });
        Assert.Equal(alone, steps.Fingerprints);
    }

    [Fact]
    public void Steps_with_beams_and_moves_allocate_nothing()
    {
        using ModelRunner runner = Load(DeviceKind.Cpu, ModelDType.Float32);
        Sequence[] beams = [NewSequence(Prompt(5), slot: 0, seed: 1, 1), NewSequence(Prompt(5), slot: 1, seed: 1, 2)];
        StepPlan plan = new(2, copiesMax: 1, swapsMax: 1);
        StepResult result = new(2);
        long allocated = 0;
        for (int step = 0; step < 40; step++)
        {
            plan.Clear();
            plan.AddSwapOut(new BlockSwap(3, 0));
            plan.AddSwapIn(new BlockSwap(4, 0));
            plan.Add(new BlockCopy(4, 5));
            plan.Add(new BeamRows(0, 2, 4));
            foreach (Sequence beam in beams)
                plan.Add(new ScheduledSequence { Sequence = beam, Start = 4, Count = 1, Samples = true, IsBeam = true });
            long before = GC.GetAllocatedBytesForCurrentThread();
            runner.Run(plan, result);
            if (step >= 20)
                allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        }
        Assert.Equal(0, allocated);
    }

    [Fact]
    public void Blocks_that_move_outside_the_pools_are_refused()
    {
        using ModelRunner runner = Load(DeviceKind.Cpu, ModelDType.Float32);
        int hostBlocks = runner.HostBlockCount;
        Assert.Equal(7, hostBlocks);
        void Refused(string what, Action<StepPlan> fill)
        {
            StepPlan plan = new(1, copiesMax: 1, swapsMax: 1);
            fill(plan);
            plan.Add(Row(NewSequence(Prompt(3), slot: 0, seed: 1, 1), isNew: true));
            Assert.Contains(what, Assert.Throws<InvalidOperationException>(() => runner.Launch(plan)).Message, StringComparison.Ordinal);
        }
        Refused("host block", plan => plan.AddSwapOut(new BlockSwap(1, hostBlocks)));
        Refused("host block", plan => plan.AddSwapIn(new BlockSwap(1, -1)));
        Refused("block id", plan => plan.AddSwapIn(new BlockSwap(0, 1)));
        Refused("block id", plan => plan.Add(new BlockCopy(1, runner.KvBlockCount)));
    }

    [Fact]
    public void Swap_space_is_reported_and_its_costs_are_known_before_the_first_request()
    {
        using ModelRunner runner = Load(DeviceKind.Cpu, ModelDType.Float32);
        Assert.Contains(runner.StartupReport, line => line.StartsWith("swap space: 7 blocks", StringComparison.Ordinal));
        PreemptionCosts costs = runner.Costs!;
        Assert.True(costs.PrefillSeconds(512) > 0 && costs.PrefillSeconds(512) >= costs.PrefillSeconds(16));
        Assert.True(costs.SwapSeconds(4) > 0 && costs.SwapSeconds(4) >= costs.SwapSeconds(1));
        using ModelRunner without = Runners.Load(_folder.Path);
        Assert.Equal((0, null), (without.HostBlockCount, without.Costs));
    }

    [Fact]
    public void Loading_reports_every_byte_once_and_in_order()
    {
        Reports reports = new();
        ModelRunner.Load(Runners.Options(_folder.Path), progress: reports).Dispose();
        Assert.Equal(0, reports.All[0].BytesDone);
        Assert.Equal(1, reports.All[^1].Fraction);
        Assert.Equal(reports.All.OrderBy(report => report.BytesDone), reports.All);
    }

    private static IEnumerable<SamplingParams> Samplings() =>
    [
        new() { Temperature = 1, Logprobs = 2 },
        new() { Temperature = 0.8f, TopP = 0.9f, RepetitionPenalty = 1.3f, FrequencyPenalty = 0.4f, Logprobs = 0 },
        new() { Temperature = 1.1f, TopK = 30, LogitBias = [new(17, 3)], AllowedTokenIds = [.. Enumerable.Range(5, 300)], Logprobs = 0 },
    ];

    private static int[] Prompt(int count) => [.. Enumerable.Range(3, count).Select(i => i * 37 % 500)];

    private ModelRunner Load(DeviceKind device, ModelDType type)
    {
        Devices.Require(device);
        RandomModelShape shape = RandomModelShape.Tiny;
        int blockBytes = 16 * 2 * shape.Layers * shape.KvHeads * shape.HeadDim * (type == ModelDType.Float32 ? 4 : 2);
        return Runners.Load(_folder.Path, options => options with
        {
            Device = device,
            DType = type,
            Graphs = Toggle.On,
            MaxSequences = 8,
            MaxBatchedTokens = 128,
            MaxModelLength = 128,
            KvCacheMemoryBytes = 4 << 20,
            SwapSpaceBytes = (8 * blockBytes) - 1,
        });
    }

    /// <summary>Each sequence by itself, its prompt computed for it alone.</summary>
    private static string[] Alone(ModelRunner runner, int[] prompt, SamplingParams sampling, int forks, ulong seed = 50) =>
    [
        .. Enumerable.Range(0, forks).Select(i =>
        {
            StepDriver driver = new(runner);
            DrivenSequence driven = driver.Add(prompt, sampling, Outputs, seed + (ulong)i);
            driver.Run();
            return driven.Fingerprint;
        }),
    ];

    private static Sequence NewSequence(int[] prompt, int slot, ulong seed, params ReadOnlySpan<int> blocks) =>
        NewSequence(prompt, new SamplingParams { Temperature = 1, Logprobs = 1 }, slot, seed, blocks);

    private static Sequence NewSequence(int[] prompt, SamplingParams sampling, int slot, ulong seed, params ReadOnlySpan<int> blocks)
    {
        Sequence sequence = new(slot, prompt, sampling, seed, Outputs) { Slot = slot };
        foreach (int block in blocks)
            sequence.Blocks.Add(block);
        return sequence;
    }

    private static ScheduledSequence Row(Sequence sequence, bool isNew = false) => new()
    {
        Sequence = sequence,
        Start = sequence.ComputedCount,
        Count = sequence.TokenCount - sequence.ComputedCount,
        Samples = true,
        IsNewInSlot = isNew,
    };

    /// <summary>Runs plans and appends what they draw.</summary>
    private sealed class Steps(ModelRunner runner, Sequence[] sequences)
    {
        private readonly StepResult _result = new(8);
        private readonly DrivenSequence[] _driven = [.. sequences.Select(sequence => new DrivenSequence(sequence))];

        public IEnumerable<string> Fingerprints => _driven.Select(driven => driven.Fingerprint);

        public void Run(Action<StepPlan> fill) => Launch(fill)();

        /// <summary>Launches a step. Call what it returns to collect it.</summary>
        public Action Launch(Action<StepPlan> fill)
        {
            StepPlan plan = new(8, copiesMax: 8, swapsMax: 8);
            fill(plan);
            runner.Launch(plan);
            return () =>
            {
                runner.Collect(plan, _result);
                for (int i = 0; i < plan.Sequences.Length; i++)
                    _driven.Single(driven => driven.Sequence == plan.Sequences[i].Sequence).Take(plan.Sequences[i], _result.Tokens[i]);
            };
        }
    }

    /// <summary>Sequences forked at the end of a prompt: they share its full blocks, and all but the first copy the partial one.</summary>
    private sealed class Forked
    {
        private readonly ModelRunner _runner;
        private readonly Sequence[] _sequences;
        private readonly int _promptBlocks;

        public Forked(ModelRunner runner, int[] prompt, SamplingParams sampling, int count)
        {
            _runner = runner;
            _promptBlocks = (prompt.Length + runner.BlockSize - 1) / runner.BlockSize;
            _sequences = [.. Enumerable.Range(0, count).Select(i =>
                NewSequence(prompt, sampling, slot: i, seed: 50 + (ulong)i, [.. Enumerable.Range(1, _promptBlocks)]))];
        }

        public IEnumerable<string> Run()
        {
            Steps steps = new(_runner, _sequences);
            int prompt = _sequences[0].PromptCount, nextBlock = _promptBlocks + 1;
            steps.Run(plan =>
            {
                plan.Add(Row(_sequences[0], isNew: true));
                foreach (Sequence fork in _sequences[1..])
                    plan.Add(new ScheduledSequence { Sequence = fork, Start = prompt, Samples = true, LogitsRow = 0, IsNewInSlot = true });
            });
            while (_sequences[0].OutputCount < Outputs)
                steps.Run(plan =>
                {
                    foreach (Sequence sequence in _sequences)
                    {
                        Prepare(sequence, plan, ref nextBlock);
                        plan.Add(Row(sequence));
                    }
                });
            return steps.Fingerprints;
        }

        private void Prepare(Sequence sequence, StepPlan plan, ref int nextBlock)
        {
            int last = sequence.Blocks.Count - 1;
            if (sequence.ComputedCount == sequence.Blocks.Count * _runner.BlockSize)
                sequence.Blocks.Add(nextBlock++);
            else if (sequence.ComputedCount == sequence.PromptCount && sequence != _sequences[0])
            {
                plan.Add(new BlockCopy(sequence.Blocks[last], nextBlock));
                sequence.Blocks.Replace(last, nextBlock++);
            }
        }
    }

    private sealed class Reports : IProgress<LoadProgress>
    {
        public List<LoadProgress> All { get; } = [];

        public void Report(LoadProgress value) => All.Add(value);
    }
}
