namespace NativeLM.Interop;

/// <summary>The backend or the machine cannot do what was asked; the message says what it can.</summary>
public sealed class NativeUnsupportedException(string message) : NativeException(message);
