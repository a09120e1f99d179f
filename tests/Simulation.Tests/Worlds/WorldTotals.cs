using NativeLM.Engine;
using NativeLM.Engine.Scheduling;

namespace NativeLM.Tests.Worlds;

/// <summary>What happened in worlds, to see that enough did.</summary>
internal sealed class WorldTotals
{
    private readonly long[] _ends = new long[Enum.GetValues<FinishReason>().Length];
    private readonly long[] _faults = new long[Enum.GetValues<Fault>().Length];

    public long Steps { get; set; }

    public long Requests { get; set; }

    public long Started { get; private set; }

    public long Resumed { get; private set; }

    public long Recomputes { get; private set; }

    public long Swaps { get; private set; }

    public long SwappedInBlocks { get; private set; }

    public long Copies { get; private set; }

    public long Forks { get; private set; }

    public long BeamSteps { get; private set; }

    public long HitTokens { get; private set; }

    public long Evictions { get; private set; }

    /// <summary>Rows computed for sequences that had ended.</summary>
    public long DroppedRows { get; set; }

    /// <summary>Tokens that arrived for a request that had been preempted while they were in flight.</summary>
    public long LateTokens { get; set; }

    public long Ends(FinishReason reason) => _ends[(int)reason];

    public long Faults(Fault fault) => _faults[(int)fault];

    public void End(FinishReason reason) => _ends[(int)reason]++;

    /// <summary>Adds a plan.</summary>
    public void Count(StepPlan plan, PlanCheck check)
    {
        Started += check.StartedCount;
        Resumed += check.ResumedCount;
        Copies += plan.Copies.Length;
        BeamSteps += plan.Beams.Length;
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            Forks += row.LogitsRow is null ? 0 : 1;
    }

    /// <summary>Adds what a scheduler and the faults counted themselves.</summary>
    public void Add(Scheduler scheduler, FaultDice dice)
    {
        Recomputes += scheduler.Preemption.RecomputeCount;
        Swaps += scheduler.Preemption.SwapCount;
        SwappedInBlocks += scheduler.Preemption.SwappedInBlockCount;
        HitTokens += scheduler.Blocks.HitTokens;
        Evictions += scheduler.Blocks.EvictionCount;
        for (int i = 0; i < _faults.Length; i++)
            _faults[i] += dice.Counts[i];
    }

    /// <summary>Adds another world's.</summary>
    public void Add(WorldTotals other)
    {
        Steps += other.Steps;
        Requests += other.Requests;
        Started += other.Started;
        Resumed += other.Resumed;
        Recomputes += other.Recomputes;
        Swaps += other.Swaps;
        SwappedInBlocks += other.SwappedInBlocks;
        Copies += other.Copies;
        Forks += other.Forks;
        BeamSteps += other.BeamSteps;
        HitTokens += other.HitTokens;
        Evictions += other.Evictions;
        DroppedRows += other.DroppedRows;
        LateTokens += other.LateTokens;
        for (int i = 0; i < _ends.Length; i++)
            _ends[i] += other._ends[i];
        for (int i = 0; i < _faults.Length; i++)
            _faults[i] += other._faults[i];
    }

    public override string ToString() => $"""
        {Steps} steps, {Requests} requests, {Started} starts, {Resumed} resumes
        {Recomputes} preemptions by recompute, {Swaps} by swap, {SwappedInBlocks} blocks swapped in, {Copies} copies on write
        {Forks} forks, {BeamSteps} steps of beam searches, {HitTokens} tokens from the prefix cache, {Evictions} evictions
        {DroppedRows} rows dropped, {LateTokens} tokens after preemption
        ends: {Pairs(_ends, Enum.GetNames<FinishReason>())}
        faults: {Pairs(_faults, Enum.GetNames<Fault>())}
        """;

    private static string Pairs(long[] counts, string[] names) => string.Join(", ", counts.Select((count, i) => $"{names[i]} {count}"));
}
