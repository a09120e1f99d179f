namespace NativeLM.Engine;

/// <summary>The engine cannot start as asked on this machine: no such device, or too little memory. The message has the figures found and needed.</summary>
public sealed class EngineStartException : Exception
{
    /// <summary>With what was found, what was needed and what to do.</summary>
    public EngineStartException(string message) : base(message) { }

    /// <summary>With the failure below.</summary>
    public EngineStartException(string message, Exception cause) : base(message, cause) { }
}
