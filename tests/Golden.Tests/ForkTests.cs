using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Copy-on-write of blocks, and the progress that a loader reports.</summary>
public sealed class ForkTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ForkTests() => Runners.WriteRandom(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_sequence_on_copied_blocks_goes_on_like_the_original()
    {
        using ModelRunner runner = Runners.Load(_folder.Path);
        int[] prompt = [.. Enumerable.Range(3, 21)];
        StepPlan plan = new(2, 2);
        StepResult result = new(2);
        Sequence original = NewSequence(prompt, slot: 0, 1, 2), fork = NewSequence(prompt, slot: 1, 3, 4);
        Add(plan, original, isNew: true);
        runner.Run(plan, result);
        original.ComputedCount = prompt.Length;
        original.Append(result.Tokens[0].Token);

        // The fork draws the same first token and shares no block: both of its blocks are copies.
        fork.ComputedCount = prompt.Length;
        fork.Append(result.Tokens[0].Token);
        plan.Clear();
        plan.Add(new BlockCopy(1, 3));
        plan.Add(new BlockCopy(2, 4));
        Add(plan, original, isNew: false);
        Add(plan, fork, isNew: true);
        runner.Run(plan, result);
        Assert.Equal(result.Tokens[0].Token, result.Tokens[1].Token);
        Assert.Equal(result.Tokens[0].Logprob, result.Tokens[1].Logprob);
        Assert.NotEqual(0, result.Tokens[0].Logprob);
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

    private static Sequence NewSequence(int[] prompt, int slot, params ReadOnlySpan<int> blocks)
    {
        Sequence sequence = new(slot, prompt, new SamplingParams { Temperature = 0, Logprobs = 0 }, 1, 10) { Slot = slot };
        foreach (int block in blocks)
            sequence.Blocks.Add(block);
        return sequence;
    }

    private static void Add(StepPlan plan, Sequence sequence, bool isNew) => plan.Add(new ScheduledSequence
    {
        Sequence = sequence,
        Start = sequence.ComputedCount,
        Count = sequence.TokenCount - sequence.ComputedCount,
        Samples = true,
        IsNewInSlot = isNew,
    });

    private sealed class Reports : IProgress<LoadProgress>
    {
        public List<LoadProgress> All { get; } = [];

        public void Report(LoadProgress value) => All.Add(value);
    }
}
