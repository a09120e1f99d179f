namespace NativeLM.Server;

/// <summary>Log messages of the HTTP side. They name the request, never its text.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(2001, LogLevel.Error, "Request {RequestId} failed")]
    public static partial void RequestFailed(ILogger logger, string requestId, Exception failure);

    [LoggerMessage(2002, LogLevel.Information, "Stopping: /health answers 503, requests are taken for another {GraceSeconds} s, running ones have {TimeoutSeconds} s; a second signal aborts")]
    public static partial void Draining(ILogger logger, double graceSeconds, double timeoutSeconds);

    [LoggerMessage(2003, LogLevel.Warning, "Second signal: running requests are cancelled")]
    public static partial void Aborting(ILogger logger);

    [LoggerMessage(2004, LogLevel.Debug, "Request {RequestId}: {Count} unknown fields ignored")]
    public static partial void UnknownFields(ILogger logger, string requestId, int count);
}
