using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Requests with several sequences in the scheduler: forks, copy-on-write, preemption of all together, and swapping.</summary>
public sealed class GroupTests : IDisposable
{
    private readonly ScriptedExecutor _executor = new() { Next = static sequence => 10 + (sequence.Index * 100) + sequence.OutputCount };
    private readonly StepPlan _plan = new(64, copiesMax: 64, swapsMax: 64);
    private readonly StepResult _result = new(64);
    private long _arrivals;

    public void Dispose() => _executor.Dispose();

    private static SchedulerLimits Limits(int blocks = 65, int hostBlocks = 0, PreemptionMode mode = PreemptionMode.Auto) => new()
    {
        BlockCount = blocks,
        BlockSize = 8,
        SequencesMax = 16,
        TokensMax = 32,
        HostBlockCount = hostBlocks,
        PreemptionMode = mode,
        PrefixCaching = false,
    };

    private SequenceGroup Add(Scheduler scheduler, int prompt, int output, int n = 1, int priority = 0, long deadline = long.MaxValue, KeyQueue? key = null)
    {
        Sequence first = new(_arrivals++, Enumerable.Range(20, prompt).ToArray(), new SamplingParams { N = n }, 5, output);
        SequenceGroup group = new(first) { Priority = priority, Deadline = deadline, Key = key, Sharing = new SharingMeter() };
        scheduler.Add(group);
        return group;
    }

    private void Step(Scheduler scheduler)
    {
        scheduler.Plan(_plan);
        if (!_plan.IsEmpty)
        {
            _executor.Run(_plan, _result);
            scheduler.Commit(_plan, _result);
        }
        scheduler.CheckInvariants();
    }

    [Fact]
    public void A_prompt_is_computed_once_and_every_sequence_draws_from_it()
    {
        Scheduler scheduler = new(Limits());
        SequenceGroup group = Add(scheduler, prompt: 20, output: 3, n: 4);
        scheduler.Plan(_plan);
        Assert.Equal(20, _plan.TokenCount);
        Assert.Equal([20, 0, 0, 0], _plan.Sequences.ToArray().Select(row => row.Count));
        Assert.Equal([null, 0, 0, 0], _plan.Sequences.ToArray().Select(row => row.LogitsRow));
        Assert.All(_plan.Sequences.ToArray(), row => Assert.True(row is { Samples: true, IsNewInSlot: true }));
        Assert.Equal(4, _plan.Sequences.ToArray().Select(row => row.Sequence.Seed).Distinct().Count());
        Assert.Equal(3, scheduler.Blocks.Pool.UsedCount); // shared by all four
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
        scheduler.CheckInvariants();
        Assert.Equal([10, 110, 210, 310], group.Live.ToArray().Select(sequence => sequence.Tokens[20]));
    }

    [Fact]
    public void Only_the_shared_partial_block_is_copied_and_the_last_writer_keeps_it()
    {
        Scheduler scheduler = new(Limits());
        SequenceGroup group = Add(scheduler, prompt: 20, output: 3, n: 4);
        Step(scheduler);
        int shared = group.First.Blocks[2];
        scheduler.Plan(_plan);
        Assert.Equal(3, _plan.Copies.Length);
        Assert.All(_plan.Copies.ToArray(), copy => Assert.Equal(shared, copy.Source));
        Assert.Equal(4, group.Live.ToArray().Select(sequence => sequence.Blocks[2]).Distinct().Count());
        Assert.Single(group.Live.ToArray().Select(sequence => sequence.Blocks[1]).Distinct());
        Assert.Equal(2 + 4, scheduler.Blocks.Pool.UsedCount);
        Assert.Equal(3, group.Sharing!.CopiesOnWrite);
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
        scheduler.Plan(_plan);
        Assert.Equal(0, _plan.Copies.Length);
    }

    [Fact]
    public void A_full_prompt_block_is_shared_and_never_copied()
    {
        Scheduler scheduler = new(Limits());
        SequenceGroup group = Add(scheduler, prompt: 16, output: 3, n: 3);
        Step(scheduler);
        Step(scheduler);
        Assert.Equal(0, group.Sharing!.CopiesOnWrite);
        Assert.Equal(2 + 3, scheduler.Blocks.Pool.UsedCount);
    }

    [Theory]
    [InlineData(PreemptionMode.Recompute)]
    [InlineData(PreemptionMode.Swap)]
    [InlineData(PreemptionMode.ByGroupSize)]
    public void A_request_is_preempted_as_a_whole_and_comes_back_with_its_sharing(PreemptionMode mode)
    {
        Scheduler scheduler = new(Limits(blocks: 12, hostBlocks: 32, mode));
        SequenceGroup first = Add(scheduler, prompt: 20, output: 40), wide = Add(scheduler, prompt: 20, output: 20, n: 3);
        bool wasPreempted = false;
        for (int step = 0; step < 300 && !scheduler.IsIdle; step++)
        {
            Step(scheduler);
            if (wide.State is GroupState.Preempted or GroupState.Swapped)
            {
                wasPreempted = true;
                Assert.All(wide.Live.ToArray(), sequence => Assert.Equal(-1, sequence.Slot));
                Assert.Equal(mode == PreemptionMode.Recompute ? GroupState.Preempted : GroupState.Swapped, wide.State);
            }
            else if (wide is { State: GroupState.Running, IsPrefilling: false } && wide.Live.Length == 3)
                Assert.Single(wide.Live.ToArray().Select(sequence => sequence.Blocks[1]).Distinct());
        }
        Assert.True(scheduler.IsIdle && wasPreempted);
        Assert.Equal(GroupState.Finished, first.State);
        Assert.Equal((0, 0), (scheduler.Blocks.Pool.UsedCount, scheduler.Blocks.Host.UsedCount));
    }

    [Fact]
    public void Without_room_on_the_host_a_request_is_recomputed()
    {
        Scheduler scheduler = new(Limits(blocks: 12, hostBlocks: 2, PreemptionMode.Swap));
        Add(scheduler, prompt: 20, output: 40);
        Add(scheduler, prompt: 20, output: 20, n: 3);
        for (int step = 0; step < 300 && !scheduler.IsIdle; step++)
            Step(scheduler);
        Assert.True(scheduler.IsIdle && scheduler.Preemption.RecomputeCount > 0);
    }

    [Fact]
    public void One_sequence_of_a_request_can_end_and_the_others_go_on()
    {
        Scheduler scheduler = new(Limits());
        SequenceGroup group = Add(scheduler, prompt: 9, output: 10, n: 3);
        scheduler.Finish(group, 2, FinishReason.Cancelled); // it does not exist yet
        Step(scheduler);
        Assert.Equal([0, 1], group.Live.ToArray().Select(sequence => sequence.Index));
        Step(scheduler);
        scheduler.Finish(group, 0, FinishReason.Cancelled);
        scheduler.Finish(group, 0, FinishReason.Cancelled);
        scheduler.CheckInvariants();
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.Equal(FinishReason.Length, group.FinishReason);
        Assert.Equal(0, scheduler.Blocks.Pool.UsedCount);
    }

    [Fact]
    public void A_recomputed_sequence_starts_behind_blocks_that_were_computed_before_it()
    {
        Scheduler scheduler = new(Limits(blocks: 18) with { TokensMax = 16 });
        _executor.Next = static sequence => 10 + (sequence.OutputCount < 12 ? sequence.OutputCount : sequence.Index * 100); // alike for 12 tokens
        Add(scheduler, prompt: 8, output: 120);
        SequenceGroup wide = Add(scheduler, prompt: 40, output: 24, n: 3);
        HashSet<int> computed = [];
        int waited = 0;
        for (int step = 0; step < 600 && !scheduler.IsIdle; step++)
        {
            if (wide.State is GroupState.Preempted or GroupState.Waiting)
                computed.Clear();
            Step(scheduler);
            waited += wide is { State: GroupState.Running, IsPrefilling: true } && wide.Live.ToArray().Any(sequence => sequence.Source is not null) ? 1 : 0;
            foreach (ref readonly ScheduledSequence row in _plan.Sequences)
            {
                if (row.Sequence.Group != wide || wide.State != GroupState.Running || !wide.IsPrefilling)
                    continue;
                for (int i = 0; i < row.Start / 8; i++)
                    Assert.Contains(row.Sequence.Blocks[i], computed);
                for (int i = row.Start / 8; i < (row.Start + row.Count + 7) / 8; i++)
                    computed.Add(row.Sequence.Blocks[i]);
            }
        }
        Assert.True(scheduler.IsIdle && waited > 0, $"{waited} steps in which one waited for another");
    }

    [Fact]
    public void A_sequence_that_ends_while_others_wait_for_its_blocks_leaves_them_to_be_recomputed()
    {
        Scheduler scheduler = new(Limits(blocks: 16) with { TokensMax = 16 });
        _executor.Next = static sequence => 10 + (sequence.OutputCount < 20 ? sequence.OutputCount : sequence.Index * 100); // alike for 20 tokens
        Add(scheduler, prompt: 8, output: 60);
        SequenceGroup wide = Add(scheduler, prompt: 20, output: 40, n: 2);
        for (int step = 0; step < 400 && !(wide.State == GroupState.Running && wide.IsPrefilling && wide.Live.Length == 2 && wide.Live[1].Source is not null); step++)
            Step(scheduler);
        Assert.Equal(wide.First, wide.Live[1].Source);
        scheduler.Finish(wide, 0, FinishReason.Cancelled);
        scheduler.CheckInvariants();
        for (int step = 0; step < 400 && !scheduler.IsIdle; step++)
            Step(scheduler);
        Assert.True(scheduler.IsIdle);
        Assert.Equal(FinishReason.Length, wide.FinishReason);
    }

    [Fact]
    public void A_better_priority_starts_first_and_a_worse_one_is_preempted_first()
    {
        Scheduler scheduler = new(Limits(blocks: 8));
        SequenceGroup low = Add(scheduler, prompt: 20, output: 20, priority: 5);
        Step(scheduler);
        SequenceGroup mid = Add(scheduler, prompt: 20, output: 20, priority: 3), high = Add(scheduler, prompt: 20, output: 20, priority: -1);
        Step(scheduler);
        Assert.Equal((GroupState.Running, GroupState.Waiting), (high.State, mid.State));
        while (low.State == GroupState.Running)
            Step(scheduler);
        Assert.Equal((GroupState.Running, GroupState.Preempted), (high.State, low.State));
        while (!scheduler.IsIdle)
            Step(scheduler);
    }

    [Fact]
    public void A_request_that_does_not_fit_is_overtaken_a_bounded_number_of_times()
    {
        Scheduler scheduler = new(Limits(blocks: 11) with { OvertakesMax = 3 });
        Add(scheduler, prompt: 48, output: 25);
        Step(scheduler);
        Step(scheduler);
        SequenceGroup large = Add(scheduler, prompt: 40, output: 1);
        List<SequenceGroup> small = [.. Enumerable.Range(0, 8).Select(_ => Add(scheduler, prompt: 8, output: 1))];
        while (large.State == GroupState.Waiting)
            Step(scheduler);
        Assert.Equal(3, small.Count(group => group.State == GroupState.Finished));
        while (!scheduler.IsIdle)
            Step(scheduler);
    }

    [Fact]
    public void A_deadline_ends_what_runs_and_what_waits_and_nothing_else()
    {
        ManualClock clock = new();
        Scheduler scheduler = new(Limits(blocks: 11) with { SequencesMax = 1, TokensMax = 32 }, clock);
        SequenceGroup runs = Add(scheduler, prompt: 8, output: 50, deadline: 100), waits = Add(scheduler, prompt: 8, output: 5, deadline: 100);
        SequenceGroup patient = Add(scheduler, prompt: 8, output: 5);
        Step(scheduler);
        clock.Now = 99;
        Step(scheduler);
        Assert.Equal((GroupState.Running, GroupState.Waiting), (runs.State, waits.State));
        clock.Now = 100;
        Step(scheduler);
        Assert.Equal((FinishReason.DeadlineExceeded, FinishReason.DeadlineExceeded), (runs.FinishReason, waits.FinishReason));
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.Equal(FinishReason.Length, patient.FinishReason);
    }

    [Fact]
    public void Keys_are_served_by_weight_and_an_idle_key_saves_nothing_up()
    {
        Scheduler scheduler = new(Limits(blocks: 200) with { SequencesMax = 1, TokensMax = 32 });
        KeyQueue heavy = new("heavy", 3), light = new("light"), late = new("late");
        for (int i = 0; i < 40; i++)
        {
            Add(scheduler, prompt: 8, output: 4, key: heavy);
            Add(scheduler, prompt: 8, output: 4, key: light);
        }
        for (int step = 0; step < 120; step++)
            Step(scheduler);
        Assert.InRange((double)heavy.ServedTokenCount / light.ServedTokenCount, 2.5, 3.5);
        Add(scheduler, prompt: 8, output: 4, key: late);
        Assert.Equal(Math.Min(heavy.Counter, light.Counter), late.Counter);
    }

    [Fact]
    public void A_failed_step_ends_its_requests_and_recomputes_those_it_was_to_swap_out()
    {
        Scheduler scheduler = new(Limits(blocks: 12, hostBlocks: 32, PreemptionMode.Swap));
        SequenceGroup first = Add(scheduler, prompt: 20, output: 40), wide = Add(scheduler, prompt: 20, output: 20, n: 3);
        do
        {
            scheduler.Plan(_plan);
            if (_plan.SwapOuts.IsEmpty)
            {
                _executor.Run(_plan, _result);
                scheduler.Commit(_plan, _result);
            }
        }
        while (_plan.SwapOuts.IsEmpty);
        Assert.Equal(GroupState.Swapped, wide.State);
        scheduler.Fail(_plan);
        scheduler.CheckInvariants();
        Assert.Equal((FinishReason.Error, GroupState.Preempted), (first.FinishReason, wide.State));
        Assert.Equal(0, scheduler.Blocks.Host.UsedCount);
        while (!scheduler.IsIdle)
            Step(scheduler);
        Assert.Equal(FinishReason.Length, wide.FinishReason);
    }

    [Fact]
    public void A_decode_step_of_wide_requests_allocates_nothing()
    {
        Scheduler scheduler = new(Limits(blocks: 2001) with { PrefixCaching = true });
        for (int i = 0; i < 4; i++)
            Add(scheduler, prompt: 9, output: 900, n: 4);
        for (int step = 0; step < 300; step++)
            Steady(scheduler); // tables and token arrays have reached 512 entries
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 0; step < 150; step++)
            Steady(scheduler);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void Steady(Scheduler scheduler)
    {
        scheduler.Plan(_plan);
        _executor.Run(_plan, _result);
        scheduler.Commit(_plan, _result);
    }

    private sealed class ManualClock : TimeProvider
    {
        public long Now { get; set; }

        public override long GetTimestamp() => Now;
    }
}
