namespace NativeLM.Interop;

/// <summary>A native function refused an argument: a bug in the caller. The message names symbol, argument, expected and found.</summary>
public sealed class NativeArgumentException(string message) : NativeException(message);
