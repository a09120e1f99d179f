namespace NativeLM.Interop;

/// <summary>A native library was not found or does not fit. The message lists every path tried and what to do next.</summary>
public sealed class NativeLoadException(string message) : NativeException(message);
