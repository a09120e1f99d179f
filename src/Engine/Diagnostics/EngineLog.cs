using Microsoft.Extensions.Logging;

namespace NativeLM.Engine.Diagnostics;

/// <summary>Every log line of the engine, with its event id. Nothing per token, no prompt text, no client strings but request ids.</summary>
internal static partial class EngineLog
{
    [LoggerMessage(1001, LogLevel.Information, "engine started: {Model} on {Device}, {Blocks} KV blocks of {BlockSize} tokens, " +
        "up to {Sequences} sequences and {Tokens} tokens a step")]
    public static partial void Started(ILogger logger, string model, string device, int blocks, int blockSize, int sequences, int tokens);

    [LoggerMessage(1002, LogLevel.Information, "engine draining: {Live} requests may finish within {Grace}")]
    public static partial void Draining(ILogger logger, int live, TimeSpan grace);

    [LoggerMessage(1003, LogLevel.Information, "engine stopped after {Steps} steps")]
    public static partial void Stopped(ILogger logger, long steps);

    [LoggerMessage(1004, LogLevel.Information, "loaded {Model} in {Milliseconds:0} ms")]
    public static partial void Loaded(ILogger logger, string model, double milliseconds);

    [LoggerMessage(1101, LogLevel.Warning, "request {Id} ended: its reader fell {Unread} events behind")]
    public static partial void SlowReader(ILogger logger, string id, int unread);

    [LoggerMessage(1102, LogLevel.Warning, "request {Id} ended: its logits are not finite or leave no token to draw")]
    public static partial void RowFailed(ILogger logger, string id);

    [LoggerMessage(1201, LogLevel.Error, "a step failed; its {Requests} requests end with an error, the engine goes on")]
    public static partial void StepFailed(ILogger logger, Exception error, int requests);

    [LoggerMessage(1202, LogLevel.Critical, "the engine failed and takes no more requests; restart the process")]
    public static partial void Failed(ILogger logger, Exception error);
}
