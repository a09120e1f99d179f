using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>What a key gets beside others, on a virtual clock: a step takes 5 ms and 0.05 ms per token.</summary>
public sealed class FairnessTests
{
    private const int Sequences = 32;
    private const int Budget = 256;

    private readonly Scheduler _scheduler = new(new SchedulerLimits { BlockCount = 8001, BlockSize = 16, SequencesMax = Sequences, TokensMax = Budget });
    private readonly StepPlan _plan = new(Sequences, copiesMax: Sequences);
    private readonly StepResult _result = new(Sequences);
    private readonly Random _random = new(7);
    private long _arrivals;
    private double _seconds;

    [Fact]
    public void A_key_at_one_request_per_second_hardly_notices_a_flood()
    {
        double alone = new FairnessTests().FirstTokenP99(floods: false, sharesKey: false);
        double beside = new FairnessTests().FirstTokenP99(floods: true, sharesKey: false);
        double unprotected = new FairnessTests().FirstTokenP99(floods: true, sharesKey: true);
        Assert.True(beside <= 2 * alone, $"99 % of first tokens after {1000 * beside:0} ms beside a flood, {1000 * alone:0} ms alone");
        Assert.True(unprotected > 10 * alone, $"{1000 * unprotected:0} ms in the flood's own queue: it was no flood");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Two_keys_that_always_wait_differ_by_a_request_and_a_step_however_long_it_lasts(double weight)
    {
        KeyQueue first = new("first", weight), second = new("second");
        double largest = 0;
        for (int step = 0; step < 30_000; step++)
        {
            foreach (KeyQueue key in new[] { first, second })
                while (key.Waiting.Length < 4)
                {
                    (int prompt, int output) = (_random.Next(1, 200), _random.Next(1, 60));
                    Add(key, prompt, output);
                }
            Step();
            if (step > 100)
                largest = Math.Max(largest, Math.Abs(first.Counter - second.Counter));
        }
        Assert.InRange(largest, 0, 200 + (2 * 60) + Budget);
        Assert.InRange(first.ServedTokenCount / (double)second.ServedTokenCount, 0.98 * weight, 1.02 * weight);
    }

    /// <summary>The 99th percentile of the time to the first token of a key that asks once a second, in seconds.</summary>
    private double FirstTokenP99(bool floods, bool sharesKey)
    {
        KeyQueue quiet = new("quiet"), flood = sharesKey ? quiet : new KeyQueue("flood");
        List<(SequenceGroup Group, double Arrived)> asked = [];
        List<double> waits = [];
        while (waits.Count < 200)
        {
            for (int i = flood.Waiting.Length; floods && i < 100; i++)
                Add(flood, _random.Next(20, 200), _random.Next(20, 60));
            if (asked.Count + waits.Count <= _seconds)
                asked.Add((Add(quiet, prompt: 1500, output: 10), asked.Count + waits.Count));
            Step();
            foreach ((SequenceGroup group, double arrived) in asked.Where(entry => entry.Group.First.OutputCount > 0).ToArray())
            {
                waits.Add(_seconds - arrived);
                asked.Remove((group, arrived));
            }
            if (asked.Count > 50)
                return double.PositiveInfinity; // it falls further and further behind
        }
        waits.Sort();
        return waits[(int)(0.99 * waits.Count)];
    }

    private SequenceGroup Add(KeyQueue key, int prompt, int output)
    {
        SequenceGroup group = new(new Sequence(_arrivals++, new int[prompt], new SamplingParams(), seed: 1, output)) { Key = key };
        _scheduler.Add(group);
        return group;
    }

    private void Step()
    {
        _scheduler.Plan(_plan);
        _seconds += 0.005 + (0.00005 * _plan.TokenCount);
        _result.Tokens[.._plan.Sequences.Length].Fill(new SampledToken { Token = 5 });
        _scheduler.Commit(_plan, _result);
        _scheduler.TakeEnded([]);
    }
}
