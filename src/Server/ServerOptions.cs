using System.Net;
using NativeLM.Engine;
using NativeLM.Server.Http;

namespace NativeLM.Server;

/// <summary>How the HTTP side runs. Fixed at start; checked by <see cref="Validate"/>.</summary>
internal sealed record ServerOptions
{
    /// <summary>Address or name to listen on.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>TCP port; 0 takes a free one.</summary>
    public int Port { get; init; } = 8000;

    /// <summary>Accepted API keys; empty: no authentication.</summary>
    public IReadOnlyList<ApiKey> ApiKeys { get; init; } = [];

    /// <summary>Lets a non-loopback address be served without a key.</summary>
    public bool AllowUnauthenticated { get; init; }

    /// <summary>Host names accepted in the Host header besides loopback names; with a non-loopback address, empty accepts any.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];

    /// <summary>Names under which the model answers; the first one is shown in responses. Empty: the engine's name for it.</summary>
    public IReadOnlyList<string> ServedModelNames { get; init; } = [];

    /// <summary>After a stop signal: time in which /health says 503 while requests are still taken.</summary>
    public TimeSpan ShutdownGrace { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>After the grace: time for running requests to finish; then they are cancelled.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Lets clients keep prefixes in the KV pool by name and empty the prefix cache: what they keep is missing to others.</summary>
    public bool EnablePrefixRegistration { get; init; }

    /// <summary>Texts that are computed at start and stay in the KV pool, by name.</summary>
    public IReadOnlyList<(string Name, string Text)> SharedPrefixes { get; init; } = [];

    /// <summary>Silence on a stream after which a comment line is sent.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Bounds of requests and connections.</summary>
    public RequestLimits Limits { get; init; } = new();

    /// <summary>True if only this machine can reach the address.</summary>
    public bool IsLoopback =>
        string.Equals(Host, "localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(Host, out IPAddress? ip) && IPAddress.IsLoopback(ip));

    /// <summary>Throws <see cref="ArgumentException"/> naming the first option out of range.</summary>
    public void Validate()
    {
        Require(Port is >= 0 and <= 65535, $"--port: found {Port}, needed 0 to 65535");
        Require(!string.IsNullOrWhiteSpace(Host), "--host: found nothing, needed an address such as 127.0.0.1");
        Require(SharedPrefixes.DistinctBy(static prefix => prefix.Name, StringComparer.Ordinal).Count() == SharedPrefixes.Count,
            "--shared-prefix: found a name twice");
        Require(ApiKeys.DistinctBy(static key => key.Name, StringComparer.Ordinal).Count() == ApiKeys.Count, "API keys: found a name twice");
        Require(Limits.ChoicesMax is >= 1 and <= SamplingParams.WidthMax, $"--max-n: found {Limits.ChoicesMax}, needed 1 to {SamplingParams.WidthMax}");
        Require(ServedModelNames.All(static name => name.Length is >= 1 and <= 256 && !name.Any(char.IsControl)),
            "--served-model-name: needed 1 to 256 characters without control characters");
        Require(IsLoopback || ApiKeys.Count > 0 || AllowUnauthenticated,
            $"--host {Host} can be reached by other machines, so an API key is needed: add --api-key KEY, or --allow-unauthenticated to serve anyone");
    }

    private static void Require(bool ok, string message)
    {
        if (!ok)
            throw new ArgumentException(message);
    }
}
