using NativeLM.Engine.Execution;

namespace NativeLM.Engine.Scheduling;

/// <summary>What one step does and what it drew. Two of them take turns. Engine thread only.</summary>
internal sealed class Step(int sequencesMax)
{
    public StepPlan Plan { get; } = new(sequencesMax, copiesMax: 0);

    public StepResult Result { get; } = new(sequencesMax);
}
