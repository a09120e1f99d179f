namespace NativeLM.Engine;

/// <summary>The engine's own bookkeeping contradicts itself: a bug. The engine stops rather than compute with it.</summary>
internal sealed class InvariantException(string message) : Exception(message);
