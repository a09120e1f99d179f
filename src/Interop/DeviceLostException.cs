namespace NativeLM.Interop;

/// <summary>The device is gone for this process: no further call can succeed.</summary>
public sealed class DeviceLostException(string message) : NativeException(message);
