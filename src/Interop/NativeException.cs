namespace NativeLM.Interop;

/// <summary>A native call failed. The message is the backend's own: symbol, argument, expected and found.</summary>
public class NativeException(string message) : Exception(message);
