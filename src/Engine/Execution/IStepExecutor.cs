using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine.Execution;

/// <summary>Runs a planned step: on a device (ModelRunner) or scripted (simulation and tests). Engine thread only.</summary>
internal interface IStepExecutor : IDisposable
{
    /// <summary>
    /// Computes the plan's tokens and draws one token for each sequence with Samples set. Sequences are read, never changed.
    /// Throws <see cref="Interop.NativeException"/> if the device failed; then nothing of the step counts.
    /// </summary>
    void Run(StepPlan plan, StepResult result);
}
