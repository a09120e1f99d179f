using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Per-sequence state of the sampler, and what a step costs the managed heap.</summary>
public sealed class SamplingStateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ModelRunner _runner;

    public SamplingStateTests() => _runner = Runners.Load(Runners.WriteRandom(_folder));

    public void Dispose()
    {
        _runner.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void No_end_token_is_drawn_before_min_tokens()
    {
        int[] ends = [.. Enumerable.Range(0, 256)];
        StepDriver driver = new(_runner);
        SamplingParams sampling = new() { Temperature = 1, MinTokens = 30 };
        DrivenSequence driven = driver.Add([1, 4], sampling, 200, endIds: ends);
        driver.Run(d => { if (d.StepCount == 10) d.Preempt(driven); });
        Assert.DoesNotContain(driven.Output[..30], token => token < 256);
        Assert.Contains(driven.Output[30..], token => token < 256);
    }

    [Fact]
    public void Only_allowed_tokens_are_drawn_and_biases_decide_among_them()
    {
        StepDriver driver = new(_runner);
        DrivenSequence allowed = driver.Add([1, 4], new SamplingParams { Temperature = 2, AllowedTokenIds = [7, 300, 511] }, 50);
        DrivenSequence biased = driver.Add([1, 4], new SamplingParams { Temperature = 1, LogitBias = [new(42, 100)] }, 10);
        DrivenSequence free = driver.Add([1, 4], new SamplingParams { Temperature = 2 }, 50);
        driver.Run();
        Assert.All(allowed.Output, token => Assert.Contains(token, (int[])[7, 300, 511]));
        Assert.All(biased.Output, token => Assert.Equal(42, token));
        Assert.Contains(free.Output, token => token is not (7 or 300 or 511 or 42));
    }

    [Fact]
    public void A_slot_forgets_the_sequence_before()
    {
        DrivenSequence Run(StepDriver driver)
        {
            DrivenSequence driven = driver.Add([1, 9, 9], new SamplingParams { Temperature = 0, FrequencyPenalty = 2, Logprobs = 0 }, 20);
            driver.Run();
            return driven;
        }
        string fresh = Run(new StepDriver(_runner)).Fingerprint;
        StepDriver used = new(_runner);
        SamplingParams other = new() { Temperature = 0, FrequencyPenalty = 2, LogitBias = [new(3, 50)], MinTokens = 5 };
        used.Add([5, 6, 7], other, 20, endIds: [1, 2]);
        used.Run();
        Assert.Equal(fresh, Run(used).Fingerprint);
    }

    [Fact]
    public void A_sequence_for_which_nothing_is_allowed_fails_alone()
    {
        StepDriver driver = new(_runner);
        SamplingParams impossible = new() { Temperature = 1, AllowedTokenIds = [5], MinTokens = 10 };
        DrivenSequence failing = driver.Add([1, 4], impossible, 20, endIds: [5]);
        DrivenSequence other = driver.Add([1, 4], new SamplingParams { Temperature = 0 }, 20);
        driver.Run();
        Assert.True(failing.Failed);
        Assert.False(other.Failed);
        Assert.Equal(20, other.Output.Length);
    }

    [Fact]
    public void A_steady_decode_step_allocates_nothing()
    {
        StepPlan plan = new(_runner.MaxSequences, 1);
        StepResult result = new(_runner.MaxSequences);
        Sequence[] sequences = new Sequence[8];
        SamplingParams sampling = new() { Temperature = 0.7f, TopP = 0.9f, RepetitionPenalty = 1.1f, Logprobs = 0 };
        for (int i = 0; i < sequences.Length; i++)
        {
            sequences[i] = new Sequence(i, [1, 2 + i], sampling, 1, 400) { Slot = i };
            for (int block = 0; block < 8; block++)
                sequences[i].Blocks.Add(1 + (8 * i) + block);
        }
        long allocated = 0;
        for (int step = 0; step < 100; step++)
        {
            plan.Clear();
            foreach (Sequence sequence in sequences)
                plan.Add(new ScheduledSequence
                {
                    Sequence = sequence,
                    Start = sequence.ComputedCount,
                    Count = sequence.TokenCount - sequence.ComputedCount,
                    Samples = true,
                    IsNewInSlot = step == 0,
                });
            long before = GC.GetAllocatedBytesForCurrentThread();
            _runner.Run(plan, result);
            if (step >= 50)
                allocated += GC.GetAllocatedBytesForCurrentThread() - before;
            for (int i = 0; i < sequences.Length; i++)
            {
                sequences[i].ComputedCount = sequences[i].TokenCount;
                sequences[i].Append(result.Tokens[i].Token);
            }
        }
        Assert.Equal(0, allocated);
    }

    [Theory]
    [InlineData(512, 1)]
    [InlineData(3, 0)]
    [InlineData(3, 99_999_999)]
    public void A_plan_outside_the_models_memory_is_refused_before_it_runs(int token, int block)
    {
        StepPlan plan = new(1, 1);
        Sequence sequence = new(0, [token], new SamplingParams(), 1, 4) { Slot = 0 };
        sequence.Blocks.Add(block);
        plan.Add(new ScheduledSequence { Sequence = sequence, Count = 1, Samples = true, IsNewInSlot = true });
        Assert.Throws<InvalidOperationException>(() => _runner.Run(plan, new StepResult(1)));
    }
}
