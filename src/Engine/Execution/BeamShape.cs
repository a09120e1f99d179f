using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine.Execution;

/// <summary>How much beam search a step does.</summary>
/// <param name="Groups">Requests with beams.</param>
/// <param name="Rows">Beams of all of them.</param>
/// <param name="Candidates">Most candidates that one of them needs.</param>
internal readonly record struct BeamShape(int Groups, int Rows, int Candidates)
{
    public static BeamShape Of(StepPlan plan)
    {
        int rows = 0, candidates = 0;
        foreach (BeamRows beams in plan.Beams)
        {
            rows += beams.RowCount;
            candidates = Math.Max(candidates, beams.CandidateCount);
        }
        return new BeamShape(plan.Beams.Length, rows, candidates);
    }
}
