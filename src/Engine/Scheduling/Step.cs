using NativeLM.Engine.Execution;

namespace NativeLM.Engine.Scheduling;

/// <summary>What one step does and what it drew. Two of them take turns. Engine thread only.</summary>
internal sealed class Step(SchedulerLimits limits)
{
    // A sequence copies at most one block in a step, and no more blocks move than the smaller pool has.
    public StepPlan Plan { get; } = new(limits.SequencesMax, copiesMax: limits.SequencesMax, swapsMax: Math.Min(limits.HostBlockCount, limits.BlockCount));

    public StepResult Result { get; } = new(limits.SequencesMax);
}
