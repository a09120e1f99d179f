using System.Diagnostics;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// Measures, before the first request, what recomputing and swapping cost: a prompt and a number of blocks of two sizes each, in well under a
/// second. What it leaves in the KV blocks nobody reads: a slot is written before it is read.
/// </summary>
internal sealed class CostProbe(ModelRunner runner, BlockMoves moves, DeviceStream stream)
{
    private const int SmallTokens = 16;
    private const int SmallBlocks = 1;
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(0.2); // for each of the two

    public PreemptionCosts Measure()
    {
        int blocks = runner.KvBlockCount - 1;
        long tokensMax = Math.Min(Math.Min(runner.MaxBatchedTokens, runner.MaxModelLength - 1), (long)blocks * runner.BlockSize);
        (double step, double token) = Fit(SmallTokens, (int)tokensMax, Prefill);
        (double copy, double block) = Fit(SmallBlocks, Math.Min(blocks, runner.HostBlockCount), SwapOut);
        return new PreemptionCosts(step, token, copy, block);
    }

    /// <summary>Seconds of one call and of each item in it, from the smallest size and the largest that the budget allows.</summary>
    private static (double Call, double Each) Fit(int small, int max, Action<int> work)
    {
        long start = Stopwatch.GetTimestamp();
        int count = small = Math.Min(small, max);
        double first = Seconds(small, work); // loads kernels and touches pages as well: measured again, unless a step is slow anyway
        if (Stopwatch.GetElapsedTime(start) < Budget)
            first = Seconds(small, work);
        double last = first;
        while (count < max && Stopwatch.GetElapsedTime(start) < Budget / 4)
        {
            count = (int)Math.Min(2L * count, max);
            work(count);
            last = Seconds(count, work);
        }
        double each = count > small ? Math.Max(0, last - first) / (count - small) : first / small;
        return (Math.Max(0, first - (each * small)), each);
    }

    private static double Seconds(int count, Action<int> work)
    {
        long start = Stopwatch.GetTimestamp();
        work(count);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private void Prefill(int tokens)
    {
        Sequence sequence = new(0, new int[tokens], new SamplingParams { Temperature = 0 }, seed: 0, maxOutputCount: 1) { Slot = 0 };
        for (int block = 1; sequence.Blocks.Count * runner.BlockSize < tokens; block++)
            sequence.Blocks.Add(block);
        StepPlan plan = new(1, copiesMax: 0);
        plan.Add(new ScheduledSequence { Sequence = sequence, Count = tokens, Samples = true, IsNewInSlot = true });
        runner.Launch(plan);
        runner.Collect(plan, new StepResult(1));
    }

    private void SwapOut(int blocks)
    {
        StepPlan plan = new(1, copiesMax: 0, swapsMax: blocks);
        for (int i = 0; i < blocks; i++)
            plan.AddSwapOut(new BlockSwap(DeviceBlock: i + 1, HostBlock: i));
        moves.Queue(plan, stream.Ops);
        stream.Synchronize();
    }
}
