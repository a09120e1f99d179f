using System.CommandLine;

namespace NativeLM.Server.CommandLine;

/// <summary>The flags of the HTTP side.</summary>
internal sealed class ServerFlags
{
    private static readonly RequestLimits Defaults = new();

    private readonly Option<string> _host = new("--host") { Description = "Address to listen on.", DefaultValueFactory = static _ => "127.0.0.1" };
    private readonly Option<int> _port = new("--port") { Description = "Port; 0 takes a free one.", DefaultValueFactory = static _ => 8000 };
    private readonly Option<string[]> _apiKeys = new("--api-key") { Description = "Accepted key; repeat for more. Also from $NATIVELM_API_KEY.", HelpName = "KEY" };
    private readonly Option<bool> _allowUnauthenticated = new("--allow-unauthenticated") { Description = "Serve a non-loopback address without a key." };
    private readonly Option<string[]> _allowedHosts = new("--allowed-hosts") { Description = "Further names accepted in the Host header.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _names = new("--served-model-name") { Description = "Names the model answers to. Default: its folder's name.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<double> _grace = Seconds("--shutdown-grace", "After a stop signal: time in which /health says 503 and requests are still taken.", 1);
    private readonly Option<double> _timeout = Seconds("--shutdown-timeout", "After that: time for running requests; then they are cancelled. 0 cancels at once.", 30);
    private readonly Option<long> _bodyBytes = Limit("--max-body-bytes", "Bytes of a request body.", Defaults.BodyBytesMax);
    private readonly Option<int> _connections = Limit("--max-connections", "Open connections.", Defaults.ConnectionsMax);
    private readonly Option<int> _jsonDepth = Limit("--max-json-depth", "Nesting of a JSON body.", Defaults.JsonDepthMax);
    private readonly Option<int> _messages = Limit("--max-messages", "Messages of a chat request.", Defaults.MessagesMax);
    private readonly Option<int> _prompts = Limit("--max-prompts-per-request", "Prompts of a completion request.", Defaults.PromptsMax);
    private readonly Option<int> _stops = Limit("--max-stop-strings", "Stop strings of a request.", Defaults.StopStringsMax);
    private readonly Option<int> _biases = Limit("--max-logit-bias", "Entries of logit_bias.", Defaults.LogitBiasMax);
    private readonly Option<double> _headerTimeout = Seconds("--header-timeout", "Time for a request's headers.", Defaults.HeaderTimeout.TotalSeconds);
    private readonly Option<double> _keepAlive = Seconds("--keep-alive-timeout", "Time an idle connection is kept.", Defaults.KeepAliveTimeout.TotalSeconds);

    public ServerFlags(Command command)
    {
        foreach (Option option in (Option[])[_host, _port, _apiKeys, _allowUnauthenticated, _allowedHosts, _names, _grace, _timeout, _bodyBytes, _connections,
            _jsonDepth, _messages, _prompts, _stops, _biases, _headerTimeout, _keepAlive])
            command.Add(option);
    }

    /// <summary>The checked options.</summary>
    public ServerOptions Read(ParseResult parsed)
    {
        string? key = Environment.GetEnvironmentVariable("NATIVELM_API_KEY");
        ServerOptions options = new()
        {
            Host = parsed.GetValue(_host)!,
            Port = parsed.GetValue(_port),
            ApiKeys = [.. parsed.GetValue(_apiKeys) ?? [], .. string.IsNullOrEmpty(key) ? [] : new[] { key }],
            AllowUnauthenticated = parsed.GetValue(_allowUnauthenticated),
            AllowedHosts = parsed.GetValue(_allowedHosts) ?? [],
            ServedModelNames = parsed.GetValue(_names) ?? [],
            ShutdownGrace = Time(parsed, _grace),
            ShutdownTimeout = Time(parsed, _timeout),
            Limits = Defaults with
            {
                BodyBytesMax = Positive(parsed, _bodyBytes),
                ConnectionsMax = (int)Positive(parsed, _connections),
                JsonDepthMax = (int)Positive(parsed, _jsonDepth),
                MessagesMax = (int)Positive(parsed, _messages),
                PromptsMax = (int)Positive(parsed, _prompts),
                StopStringsMax = (int)Positive(parsed, _stops),
                LogitBiasMax = (int)Positive(parsed, _biases),
                HeaderTimeout = Time(parsed, _headerTimeout),
                KeepAliveTimeout = Time(parsed, _keepAlive),
            },
        };
        options.Validate();
        return options;
    }

    private static Option<T> Limit<T>(string name, string description, T fallback) => new(name) { Description = description, DefaultValueFactory = _ => fallback };

    private static Option<double> Seconds(string name, string description, double fallback) =>
        new(name) { Description = description, HelpName = "SECONDS", DefaultValueFactory = _ => fallback };

    private static long Positive<T>(ParseResult parsed, Option<T> option) where T : struct, System.Numerics.INumber<T>
    {
        T value = parsed.GetValue(option);
        return value > T.Zero ? long.CreateChecked(value) : throw new UsageException($"{option.Name}: found {value}, needed at least 1");
    }

    private static TimeSpan Time(ParseResult parsed, Option<double> option)
    {
        double seconds = parsed.GetValue(option);
        return seconds is >= 0 and <= 86_400 ? TimeSpan.FromSeconds(seconds) : throw new UsageException($"{option.Name}: found {seconds}, needed 0 to 86400 seconds");
    }
}
