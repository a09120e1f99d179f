using NativeLM.Engine.Execution;

namespace NativeLM.Engine.Scheduling;

/// <summary>What one step does and what it drew. Two of them take turns. Engine thread only.</summary>
internal sealed class Step(SchedulerLimits limits)
{
    // A sequence copies at most one block in a step. Requests that share a block each take it to the host, so the host pool bounds the moves.
    public StepPlan Plan { get; } = new(limits.SequencesMax, copiesMax: limits.SequencesMax, swapsMax: limits.HostBlockCount);

    public StepResult Result { get; } = new(limits.SequencesMax);
}
