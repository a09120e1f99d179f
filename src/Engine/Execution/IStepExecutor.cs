using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine.Execution;

/// <summary>
/// Runs planned steps in the order in which they are launched: on a device (ModelRunner) or scripted (simulation and tests). At most two
/// steps are launched and not collected. Engine thread only.
/// </summary>
internal interface IStepExecutor : IDisposable
{
    /// <summary>
    /// Starts computing the plan's tokens and drawing one token for each sequence with Samples set. Sequences are read, never changed,
    /// and not after the call returns. Throws <see cref="Interop.NativeException"/> if the device failed; then nothing of the step counts.
    /// </summary>
    void Launch(StepPlan plan);

    /// <summary>
    /// Waits for the oldest step that was launched and not collected, whose plan this is, and reads what it drew. Throws
    /// <see cref="Interop.NativeException"/> if the device failed; then nothing of the step counts.
    /// </summary>
    void Collect(StepPlan plan, StepResult result);
}
