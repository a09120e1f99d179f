using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

public sealed class SchedulerTests : IDisposable
{
    private readonly ScriptedExecutor _executor = new();
    private readonly StepPlan _plan = new(64, 0);
    private readonly StepResult _result = new(64);

    public void Dispose() => _executor.Dispose();

    private static Scheduler New(int blocks = 65, int sequences = 8, int tokens = 32, int overtakes = 0) => new(
        new SchedulerLimits { BlockCount = blocks, BlockSize = 8, SequencesMax = sequences, TokensMax = tokens, OvertakesMax = overtakes });

    private static Sequence Add(Scheduler scheduler, long arrival, int prompt, int output, int[]? endIds = null, SamplingParams? sampling = null)
    {
        Sequence sequence = new(arrival, Enumerable.Range(20, prompt).ToArray(), sampling ?? new SamplingParams(), 0, output, endIds);
        scheduler.Add(new SequenceGroup(sequence));
        return sequence;
    }

    private void Step(Scheduler scheduler)
    {
        scheduler.Plan(_plan);
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
        scheduler.CheckInvariants();
    }

    [Fact]
    public void A_long_prompt_is_computed_in_chunks_beside_the_decodes_of_others()
    {
        Scheduler scheduler = New(tokens: 16);
        Sequence first = Add(scheduler, 0, prompt: 4, output: 20);
        Step(scheduler);
        Sequence second = Add(scheduler, 1, prompt: 40, output: 4);
        scheduler.Plan(_plan);
        Assert.Equal(16, _plan.TokenCount);
        Assert.Equal([first, second], _plan.Sequences.ToArray().Select(row => row.Sequence));
        Assert.Equal([1, 15], _plan.Sequences.ToArray().Select(row => row.Count));
        Assert.Equal([true, false], _plan.Sequences.ToArray().Select(row => row.Samples));
        Assert.Equal([false, true], _plan.Sequences.ToArray().Select(row => row.IsNewInSlot));
        Assert.Equal(5, second.Blocks.Count); // of the whole prompt, taken at once
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
        Assert.Equal(15, second.ComputedCount);
        Step(scheduler);
        Step(scheduler);
        Assert.Equal((40, 1), (second.ComputedCount, second.OutputCount));
        Assert.Equal(4, first.OutputCount);
    }

    [Fact]
    public void Admission_is_first_come_first_served_and_waits_for_the_whole_prompt()
    {
        Scheduler scheduler = New(blocks: 11, tokens: 32); // 10 usable
        Add(scheduler, 0, prompt: 48, output: 10);
        Sequence large = Add(scheduler, 1, prompt: 40, output: 1);
        Sequence small = Add(scheduler, 2, prompt: 8, output: 1);
        for (int step = 0; step < 3; step++)
            Step(scheduler);
        Assert.Equal(GroupState.Waiting, large.Group.State); // 6 of 10 blocks are taken, it needs 5
        Assert.Equal(GroupState.Waiting, small.Group.State); // it would fit, but came later
    }

    [Fact]
    public void The_youngest_is_preempted_and_the_oldest_never()
    {
        Scheduler scheduler = New(blocks: 9, sequences: 4, tokens: 64);
        Sequence[] all = [.. Enumerable.Range(0, 4).Select(i => Add(scheduler, i, prompt: 14, output: 40))];
        int[] preempted = new int[4];
        bool[] ran = new bool[4];
        for (int step = 0; step < 400 && !scheduler.IsIdle; step++)
        {
            Step(scheduler);
            for (int i = 0; i < 4; i++)
            {
                preempted[i] += ran[i] && all[i].Group.State == GroupState.Preempted ? 1 : 0;
                ran[i] = all[i].Group.State == GroupState.Running;
            }
        }
        Assert.True(scheduler.IsIdle);
        Assert.Equal(0, preempted[0]);
        Assert.True(preempted[3] > 0);
        Assert.Equal(preempted.Sum(), scheduler.Preemption.Count);
        foreach (Sequence sequence in all)
            Assert.Equal((FinishReason.Length, 40), (sequence.FinishReason, sequence.OutputCount));
    }

    [Fact]
    public void Preemption_changes_no_token()
    {
        static int[][] Run(int blocks, int tokens)
        {
            using SchedulerTests test = new();
            Scheduler scheduler = New(blocks, sequences: 6, tokens: tokens);
            Sequence[] all = [.. Enumerable.Range(0, 6).Select(i => Add(scheduler, i, prompt: 9 + i, output: 30))];
            while (!scheduler.IsIdle)
                test.Step(scheduler);
            return [.. all.Select(sequence => sequence.Tokens.ToArray())];
        }
        Assert.Equal(Run(blocks: 200, tokens: 512), Run(blocks: 9, tokens: 7));
    }

    [Fact]
    public void A_preempted_sequence_is_recomputed_before_newer_ones_start()
    {
        Scheduler scheduler = New(blocks: 5, sequences: 2, tokens: 64);
        Add(scheduler, 0, prompt: 15, output: 17);
        Sequence victim = Add(scheduler, 1, prompt: 15, output: 17);
        Sequence newer = Add(scheduler, 2, prompt: 1, output: 1);
        while (victim.Group.State != GroupState.Preempted)
            Step(scheduler);
        Assert.Equal(victim.Group, scheduler.Preempted[0]);
        while (victim.Group.State == GroupState.Preempted)
        {
            Step(scheduler);
            Assert.True(victim.Group.State != GroupState.Preempted || newer.Group.State == GroupState.Waiting);
        }
        Assert.True(victim.OutputCount > 0);
    }

    [Fact]
    public void An_end_id_ends_with_stop_and_the_last_token_with_length()
    {
        _executor.Next = sequence => sequence.OutputCount == 3 ? 2 : 50;
        Scheduler scheduler = New();
        Sequence stops = Add(scheduler, 0, prompt: 3, output: 10, endIds: [7, 2]);
        Sequence goesOn = Add(scheduler, 1, prompt: 3, output: 10);
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.Equal((FinishReason.Stop, 4), (stops.FinishReason, stops.OutputCount));
        Assert.Equal((FinishReason.Length, 10), (goesOn.FinishReason, goesOn.OutputCount));
        Assert.Equal(0, scheduler.Blocks.Pool.UsedCount);
    }

    [Fact]
    public void A_failed_row_ends_only_its_own_sequence()
    {
        Scheduler scheduler = New();
        Sequence[] all = [.. Enumerable.Range(0, 3).Select(i => Add(scheduler, i, prompt: 5, output: 6))];
        _executor.AfterRow = (in row, ref sampled) => sampled.Failed = row.Sequence == all[1] && row.Sequence.OutputCount == 2;
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.Equal([FinishReason.Length, FinishReason.Error, FinishReason.Length], all.Select(s => s.FinishReason));
        Assert.Equal(2, all[1].OutputCount);
    }

    [Fact]
    public void A_sequence_can_be_finished_in_every_state()
    {
        Scheduler scheduler = New(blocks: 9, sequences: 4, tokens: 8);
        Sequence[] all = [.. Enumerable.Range(0, 6).Select(i => Add(scheduler, i, prompt: 14, output: 40))];
        HashSet<(GroupState, bool)> seen = [];
        for (int i = 0; !scheduler.IsIdle; i++)
        {
            Step(scheduler);
            Sequence sequence = all[i * 5 % 6];
            if (i % 4 != 3)
                continue;
            seen.Add((sequence.Group.State, sequence.PendingCount > 1));
            FinishReason before = sequence.FinishReason;
            scheduler.Finish(sequence.Group, FinishReason.Cancelled);
            scheduler.Finish(sequence.Group, FinishReason.Cancelled);
            Assert.Equal(before == FinishReason.None ? FinishReason.Cancelled : before, sequence.FinishReason);
            scheduler.CheckInvariants();
        }
        Assert.Contains((GroupState.Running, false), seen);
        Assert.Contains((GroupState.Waiting, true), seen);
        Assert.Equal(0, scheduler.Blocks.Pool.UsedCount);
    }

    [Fact]
    public void Prompt_logprobs_are_collected_once_across_chunks_and_preemption()
    {
        Scheduler scheduler = New(blocks: 6, sequences: 2, tokens: 5);
        Add(scheduler, 0, prompt: 15, output: 20);
        Sequence asked = Add(scheduler, 1, prompt: 15, output: 10, sampling: new SamplingParams { PromptLogprobs = 0 });
        _executor.AfterRow = (in row, ref sampled) =>
        {
            int first = row.Start + 1, end = Math.Min(row.Start + row.Count + 1, row.Sequence.PromptCount);
            Sequence sequence = row.Sequence;
            if (sequence.Sampling.PromptLogprobs is not null && first < end)
                sampled.PromptLogprobs = [.. Enumerable.Range(first, end - first).Select(p => new PromptLogprob(sequence.Tokens[p], -p, 1, []))];
        };
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.True(scheduler.Preemption.Count > 0);
        Assert.Equal(asked.Tokens[..15].ToArray(), asked.PromptLogprobs!.Select(entry => entry.TokenId));
        Assert.Equal(Enumerable.Range(1, 14).Select(p => (float)-p), asked.PromptLogprobs!.Skip(1).Select(entry => entry.Logprob));
        Assert.True(float.IsNaN(asked.PromptLogprobs![0].Logprob));
    }

    [Fact]
    public void A_sequence_that_can_never_fit_is_not_taken()
    {
        Scheduler scheduler = New(blocks: 5);
        Assert.Throws<ArgumentException>(() => Add(scheduler, 0, prompt: 20, output: 14));
        Add(scheduler, 0, prompt: 20, output: 13); // 32 stored positions are exactly 4 blocks
        while (!scheduler.IsIdle)
            Step(scheduler);
    }

    [Fact]
    public void Slots_are_in_range_distinct_and_given_back()
    {
        Scheduler scheduler = New(sequences: 3);
        Sequence[] all = [.. Enumerable.Range(0, 9).Select(i => Add(scheduler, i, prompt: 3, output: 1 + i % 4))];
        HashSet<Sequence> admitted = [];
        while (!scheduler.IsIdle)
        {
            scheduler.Plan(_plan);
            foreach (ref readonly ScheduledSequence row in _plan.Sequences)
            {
                Assert.InRange(row.Sequence.Slot, 0, 2);
                Assert.Equal(admitted.Add(row.Sequence), row.IsNewInSlot);
            }
            Assert.True(_plan.Sequences.Length <= 3);
            _executor.Run(_plan, _result);
            scheduler.Commit(_plan, _result);
        }
        Assert.All(all, sequence => Assert.Equal(-1, sequence.Slot));
    }

    [Fact]
    public void A_steady_decode_step_allocates_nothing()
    {
        Scheduler scheduler = New(blocks: 2001, sequences: 64, tokens: 64);
        for (int i = 0; i < 64; i++)
            Add(scheduler, i, prompt: 1, output: 100_000 / 64);
        for (int step = 0; step < 300; step++)
            Steady(scheduler); // tables and token arrays have reached 512 entries
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 0; step < 200; step++)
            Steady(scheduler);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void Steady(Scheduler scheduler)
    {
        scheduler.Plan(_plan);
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
        scheduler.Blocks.Pool.CheckBalance();
    }
}
