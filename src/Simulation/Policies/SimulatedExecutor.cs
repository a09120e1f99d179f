using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>
/// Runs no model: a launched step moves the clock by what it would cost. The tokens it draws mean nothing, but no two requests draw the same, so a
/// prefix is found exactly where the trace has one; an output ends at its length. Beams go on from each other with a given probability.
/// </summary>
internal sealed class SimulatedExecutor(Scenario scenario, SimClock clock) : IStepExecutor
{
    private const long SharedText = -2; // below it: texts of blocks that the trace names

    private readonly CostModel _costs = scenario.Costs();
    private readonly SimRandom _random = new(scenario.Seed ^ 0xBEA0_0004);

    /// <summary>Tokens drawn by the step that was collected last.</summary>
    public int DrawnCount { get; private set; }

    public void Launch(StepPlan plan) => clock.Advance(Cost(plan));

    public void Collect(StepPlan plan, StepResult result)
    {
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        DrawnCount = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            ref readonly ScheduledSequence row = ref rows[i];
            result.Tokens[i] = new SampledToken { Token = row.Samples ? Token((long)row.Sequence.Seed, row.Start + row.Count) : -1 };
            DrawnCount += row.Samples ? 1 : 0;
        }
        for (int i = 0; i < plan.Beams.Length; i++)
            Branch(plan.Beams[i], result.Candidates(i));
    }

    public void Dispose()
    {
    }

    /// <summary>Which text a request is cut from: its conversation's, or its own.</summary>
    public static long TextOf(int number, in TraceRequest request) => request.Conversation > 0 ? -1L - ((long)request.Conversation << 32) : number;

    /// <summary>Token ids of a prompt: equal to another's where the trace says so, different otherwise.</summary>
    public static int[] Prompt(int number, in TraceRequest request)
    {
        long text = TextOf(number, request);
        int[] prompt = new int[request.Input];
        for (int i = 0; i < prompt.Length; i++)
            prompt[i] = i < request.SharedPrefix ? Token(SharedText, i)
                : request.PrefixBlocks is int[] blocks && i / TraceRequest.PrefixBlockSize < blocks.Length
                    ? Token(SharedText - 1 - blocks[i / TraceRequest.PrefixBlockSize], i)
                    : Token(text, i);
        return prompt;
    }

    /// <summary>The id at a position of a text.</summary>
    private static int Token(long text, int position) => (int)(((ulong)text * 0x9E3779B97F4A7C15UL + (ulong)position * 0xD1B54A32D192ED03UL) >> 33);

    /// <summary>Each place goes to the beam that holds it, or with the given probability to another; candidates behind them lose.</summary>
    private void Branch(BeamRows beams, Span<BeamCandidate> candidates)
    {
        for (int i = 0; i < beams.CandidateCount; i++)
        {
            int row = i < beams.RowCount ? i : 0;
            if (i < beams.RowCount && beams.RowCount > 1 && _random.NextDouble() < scenario.ReparentProbability)
                row = (row + 1 + _random.NextInt(beams.RowCount - 1)) % beams.RowCount;
            candidates[i] = new BeamCandidate(row, i + 1, -i, -i);
        }
    }

    /// <summary>Seconds of a step: the moves of blocks before it, and one pass over all rows.</summary>
    private double Cost(StepPlan plan)
    {
        int decodes = 0;
        long kv = 0, prefills = 0;
        double pairs = 0;
        foreach (ref readonly ScheduledSequence row in plan.Sequences)
            if (row.Count == 1 && row.Start > 0)
            {
                decodes++;
                kv += row.Start + 1;
            }
            else if (row.Count > 0)
            {
                prefills += row.Count;
                kv += row.Start;
                pairs += CostModel.Pairs(row.Start, row.Count);
            }
        return _costs.Copy(plan.Copies.Length) + _costs.Swap(plan.SwapOuts.Length + plan.SwapIns.Length) + _costs.Pass(decodes, kv, prefills, pairs);
    }
}
