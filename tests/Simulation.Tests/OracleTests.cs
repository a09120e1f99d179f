using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Tests.Worlds;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Where requests have one sequence and nothing is shared, the scheduler plans what the plainest one would.</summary>
public sealed class OracleTests(ITestOutputHelper output)
{
    private const int Steps = 400;

    [Fact]
    public void Plans_are_those_of_the_oracle()
    {
        long rows = 0, preemptions = 0;
        for (int seed = 1; seed <= 60; seed++)
            (rows, preemptions) = (rows + Compare(new Random(seed), out long preempted), preemptions + preempted);
        output.WriteLine($"{rows} rows, {preemptions} preemptions");
        Assert.True(rows > 50_000 && preemptions > 500, $"{rows} rows, {preemptions} preemptions");
    }

    private static long Compare(Random random, out long preemptions)
    {
        int blockSize = random.Next(1, 9), usable = random.Next(10, 80), sequencesMax = random.Next(1, 12);
        SchedulerLimits limits = new()
        {
            BlockCount = usable + 1,
            BlockSize = blockSize,
            SequencesMax = sequencesMax,
            TokensMax = sequencesMax + random.Next(1, 60),
            PreemptionMode = PreemptionMode.Recompute,
            OvertakesMax = 0, // the oracle stops at the first that does not fit
            Watermark = 0.05,
        };
        Scheduler scheduler = new(limits);
        OracleScheduler oracle = new(usable, blockSize, sequencesMax, limits.TokensMax, limits.Watermark);
        Step step = new(limits);
        Dictionary<long, SequenceGroup> live = [];
        long rows = 0, arrivals = 0;
        for (int i = 0; i < Steps; i++)
        {
            if (live.Count < 20 && random.Next(2) == 0)
                Arrive(random, usable * blockSize, arrivals++, scheduler, oracle, live);
            if (live.Count > 0 && random.Next(20) == 0)
            {
                SequenceGroup cancelled = live.Values.ElementAt(random.Next(live.Count));
                scheduler.Finish(cancelled, FinishReason.Cancelled);
                oracle.Finish(cancelled.Arrival);
            }
            scheduler.Plan(step.Plan);
            List<OracleScheduler.Row> expected = oracle.Plan();
            OracleScheduler.Row[] planned = [.. step.Plan.Sequences.ToArray().Select(row => new OracleScheduler.Row(row.Sequence.Arrival, row.Start, row.Count, row.Samples))];
            Assert.Equal(expected, planned);
            int[] tokens = [.. planned.Select(row => row.Samples ? random.Next(100) : -1)];
            for (int row = 0; row < tokens.Length; row++)
                step.Result.Tokens[row] = new SampledToken { Token = tokens[row] };
            scheduler.Commit(step.Plan, step.Result);
            oracle.Commit(expected, tokens);
            foreach (SequenceGroup ended in live.Values.Where(group => group.State == GroupState.Finished).ToList())
                live.Remove(ended.Arrival);
            Assert.Equal((live.Count, scheduler.Blocks.Pool.FreeCount), (oracle.Count, oracle.FreeCount));
            rows += planned.Length;
        }
        preemptions = scheduler.Preemption.Count;
        return rows;
    }

    private static void Arrive(Random random, int tokensMax, long arrival, Scheduler scheduler, OracleScheduler oracle, Dictionary<long, SequenceGroup> live)
    {
        int prompt = random.Next(1, Math.Min(tokensMax, 100)), output = random.Next(1, Math.Min(tokensMax - prompt, 100) + 1);
        int[] tokens = [.. Enumerable.Range(0, prompt).Select(_ => random.Next(100))];
        SequenceGroup group = new(new Sequence(arrival, tokens, new SamplingParams(), seed: 0, output));
        scheduler.Add(group);
        oracle.Add(arrival, tokens, output);
        live.Add(arrival, group);
    }
}
