using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;

namespace NativeLM.Tests.Worlds;

/// <summary>A step and what goes wrong with it.</summary>
internal sealed class WorldStep(SchedulerLimits limits)
{
    private readonly Step _step = new(limits);

    public StepPlan Plan => _step.Plan;

    public StepResult Result => _step.Result;

    /// <summary>Blocks into which failed rows wrote.</summary>
    public List<int> SpoiltBlocks { get; } = [];

    /// <summary>All of it fails.</summary>
    public bool Fails { get; set; }
}
