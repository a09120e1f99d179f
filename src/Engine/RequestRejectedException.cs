namespace NativeLM.Engine;

/// <summary>Why a request was refused before it ran.</summary>
public enum RejectionKind
{
    /// <summary>A parameter out of range.</summary>
    InvalidValue,
    /// <summary>Prompt plus output exceeds the context.</summary>
    ContextLengthExceeded,
    /// <summary>It could never fit the KV pool, even alone.</summary>
    KvCapacityExceeded,
    /// <summary>The bounded queue is full; try again later.</summary>
    QueueFull,
    /// <summary>This key's share of the bounded queue is full; try again later.</summary>
    KeyQueueFull,
    /// <summary>What waits already would take longer than the request's deadline.</summary>
    DeadlineUnreachable,
    /// <summary>The engine is shutting down or has failed.</summary>
    Unavailable,
}

/// <summary>A request the engine refused. The message says what was found and what was needed; it may be shown to the client.</summary>
public sealed class RequestRejectedException(RejectionKind kind, string message, string? parameter = null, TimeSpan? retryAfter = null)
    : Exception(message)
{
    /// <summary>Why.</summary>
    public RejectionKind Kind { get; } = kind;

    /// <summary>The request field at fault, in API spelling, or null.</summary>
    public string? Parameter { get; } = parameter;

    /// <summary>When to try again, for the kinds that pass: a full queue, an unreachable deadline.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;
}
