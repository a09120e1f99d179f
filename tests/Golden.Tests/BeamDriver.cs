using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// A scheduler for tests: searches side by side in the same steps, each prompt computed once. Every step copies all blocks of every beam that
/// goes on, to the half of its blocks that the step before did not use.
/// </summary>
internal sealed class BeamDriver
{
    private readonly ModelRunner _runner;
    private readonly GoldenBeams _run;
    private readonly BeamSearch _search;
    private readonly int _firstSlot;
    private readonly int _firstBlock;
    private readonly int _blocksEach; // of a beam, in each of the two halves
    private Sequence[] _beams;
    private bool _half;

    private BeamDriver(ModelRunner runner, GoldenBeams run, int firstSlot, int firstBlock)
    {
        (_runner, _run, _firstSlot, _firstBlock) = (runner, run, firstSlot, firstBlock);
        _blocksEach = ((run.Prompt.Length + run.OutputMax) / runner.BlockSize) + 1;
        _search = new BeamSearch(run.Width, run.LengthPenalty, run.EarlyStopping, run.Prompt.Length, run.OutputMax, [run.EndId]);
        _beams = [NewBeam(rank: 0, [], 0)];
    }

    /// <summary>Runs all searches to their end. Returns their outputs, and how many steps were replayed.</summary>
    public static IReadOnlyList<BeamHypothesis>[] Run(ModelRunner runner, GoldenBeams[] runs, out int replays)
    {
        int slots = 0, blocks = 1;
        List<BeamDriver> drivers = [];
        foreach (GoldenBeams run in runs)
        {
            drivers.Add(new BeamDriver(runner, run, slots, blocks));
            slots += run.Width;
            blocks += 2 * run.Width * drivers[^1]._blocksEach;
        }
        IReadOnlyList<BeamHypothesis>[] found = [.. drivers.Select(driver => driver._search.Hypotheses)];
        StepPlan plan = new(slots, copiesMax: blocks);
        StepResult result = new(slots);
        for (replays = 0; drivers.Count > 0; replays += result.IsReplay ? 1 : 0)
        {
            foreach (BeamDriver driver in drivers)
                driver.Plan(plan);
            runner.Run(plan, result);
            plan.Clear();
            for (int i = drivers.Count - 1; i >= 0; i--)
                if (drivers[i].Advance(result, i, plan))
                    drivers.RemoveAt(i);
        }
        return found;
    }

    private void Plan(StepPlan plan)
    {
        plan.Add(new BeamRows(plan.Sequences.Length, _beams.Length, _search.CandidateCount));
        foreach (Sequence beam in _beams)
            plan.Add(new ScheduledSequence
            {
                Sequence = beam,
                Start = beam.ComputedCount,
                Count = beam.TokenCount - beam.ComputedCount,
                Samples = true,
                IsBeam = true,
                IsNewInSlot = true,
            });
    }

    /// <summary>Takes over what a step found for these beams, its entry of the plan, and adds the copies to the next plan.</summary>
    private bool Advance(StepResult result, int entry, StepPlan next)
    {
        Assert.False(result.BeamFailed(entry));
        if (_search.Advance(result.Candidates(entry)[.._search.CandidateCount], _beams))
            return true;
        _half = !_half;
        Sequence[] parents = _beams;
        _beams = [.. _search.Next.ToArray().Select((step, rank) =>
            NewBeam(rank, [.. parents[step.Parent].Tokens[_run.Prompt.Length..], step.Token], step.Cumulative))];
        for (int rank = 0; rank < _beams.Length; rank++)
        {
            Sequence parent = parents[_search.Next[rank].Parent];
            _beams[rank].ComputedCount = parent.TokenCount;
            for (int i = 0; i * _runner.BlockSize < parent.TokenCount; i++)
                next.Add(new BlockCopy(parent.Blocks[i], _beams[rank].Blocks[i]));
        }
        return false;
    }

    private Sequence NewBeam(int rank, int[] output, float cumulative)
    {
        Sequence beam = new(0, _run.Prompt, new SamplingParams(), seed: 1, _run.OutputMax) { Slot = _firstSlot + rank, Cumulative = cumulative };
        foreach (int token in output)
            beam.Append(token);
        int first = _firstBlock + (((_half ? _run.Width : 0) + rank) * _blocksEach);
        for (int i = 0; i < _blocksEach; i++)
            beam.Blocks.Add(first + i);
        return beam;
    }
}
