namespace NativeLM.Interop;

/// <summary>The device has too little memory for an allocation.</summary>
public sealed class DeviceOutOfMemoryException(string message) : NativeException(message);
