using System.Globalization;
using NativeLM.Engine;

namespace NativeLM.Server;

/// <summary>Every bound on what one request or connection may cost. Printed at start; nothing is unbounded.</summary>
internal sealed record RequestLimits
{
    /// <summary>Bytes of a request body.</summary>
    public long BodyBytesMax { get; init; } = 32 << 20;

    /// <summary>Bytes of the request line.</summary>
    public int RequestLineBytesMax { get; init; } = 8 << 10;

    /// <summary>Bytes of all request headers.</summary>
    public int HeaderBytesMax { get; init; } = 32 << 10;

    /// <summary>Request headers.</summary>
    public int HeaderCountMax { get; init; } = 100;

    /// <summary>Time for the headers to arrive.</summary>
    public TimeSpan HeaderTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Least bytes per second of a body and of a response being read, after <see cref="RateGrace"/>.</summary>
    public double BytesPerSecondMin { get; init; } = 240;

    /// <summary>Time before the rate rule applies.</summary>
    public TimeSpan RateGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Open connections.</summary>
    public int ConnectionsMax { get; init; } = 4096;

    /// <summary>Time an idle connection is kept.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>Response bytes held for a client that does not read.</summary>
    public int UnsentBytesMax { get; init; } = 64 << 10;

    /// <summary>Nesting of a JSON body.</summary>
    public int JsonDepthMax { get; init; } = 128;

    /// <summary>Keys of one JSON object.</summary>
    public int ObjectKeysMax { get; init; } = 4096;

    /// <summary>Messages of a chat request.</summary>
    public int MessagesMax { get; init; } = 2048;

    /// <summary>Prompts of a completion request.</summary>
    public int PromptsMax { get; init; } = 128;

    /// <summary>Tools of a chat request.</summary>
    public int ToolsMax { get; init; } = 512;

    /// <summary>Sequences per prompt: n and best_of.</summary>
    public int ChoicesMax { get; init; } = SamplingParams.WidthMax;

    /// <summary>Sequences of all prompts of a request.</summary>
    public int SequencesMax { get; init; } = 1024;

    /// <summary>Characters of cache_salt.</summary>
    public int CacheSaltCharsMax { get; init; } = 256;

    /// <summary>Prefixes registered by name at a time.</summary>
    public int SharedPrefixesMax { get; init; } = 64;

    /// <summary>Stop strings.</summary>
    public int StopStringsMax { get; init; } = 32;

    /// <summary>UTF-8 bytes of one stop string.</summary>
    public int StopStringBytesMax { get; init; } = 512;

    /// <summary>Entries of logit_bias.</summary>
    public int LogitBiasMax { get; init; } = 1024;

    /// <summary>Entries of stop_token_ids.</summary>
    public int StopTokenIdsMax { get; init; } = 1024;

    /// <summary>Alternatives per token of a log-probability report.</summary>
    public int LogprobsMax { get; init; } = 20;

    /// <summary>Characters of a model name.</summary>
    public int ModelNameCharsMax { get; init; } = 256;

    /// <summary>Characters of the fields that are accepted without effect.</summary>
    public int OtherStringCharsMax { get; init; } = 1024;

    /// <summary>The record as one line, for the start report.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"body {BodyBytesMax} bytes, request line {RequestLineBytesMax}, headers {HeaderBytesMax} in {HeaderCountMax}, "
        + $"header time {HeaderTimeout.TotalSeconds} s, rate {BytesPerSecondMin} B/s after {RateGrace.TotalSeconds} s, connections {ConnectionsMax}, "
        + $"keep-alive {KeepAliveTimeout.TotalSeconds} s, unsent {UnsentBytesMax} bytes, JSON depth {JsonDepthMax}, keys {ObjectKeysMax}, "
        + $"messages {MessagesMax}, prompts {PromptsMax}, n {ChoicesMax}, sequences {SequencesMax}, tools {ToolsMax}, stops {StopStringsMax} of {StopStringBytesMax} bytes, "
        + $"logit_bias {LogitBiasMax}, logprobs {LogprobsMax}, shared prefixes {SharedPrefixesMax}");
}
