using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>Tells failures of a step that the engine survives from those it does not.</summary>
internal static class StepFailures
{
    /// <summary>True if no later step can succeed: the device is lost, or the engine's own bookkeeping is broken.</summary>
    public static bool IsFatal(Exception error) => error is DeviceLostException or InvariantException;
}
