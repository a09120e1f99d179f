using System.CommandLine;
using NativeLM.Server.Http;

namespace NativeLM.Server.CommandLine;

/// <summary>The flags of the HTTP side.</summary>
internal sealed class ServerFlags
{
    private static readonly RequestLimits Defaults = new();

    private readonly Option<string> _host = Flag.With("--host", "Address to listen on.", "127.0.0.1");
    private readonly Option<int> _port = Flag.With("--port", "Port; 0 takes a free one.", 8000);
    private readonly Option<string[]> _apiKeys = new("--api-key")
    {
        Description = "Accepted key; repeat for more. Also from $NATIVELM_API_KEY.",
        HelpName = "KEY",
    };

    private readonly Option<string?> _apiKeyFile = new("--api-key-file")
    {
        Description = "File of accepted keys: per line NAME KEY [WEIGHT]. Keys that wait get turns by weight; sha256:HASH may stand for KEY.",
        HelpName = "FILE",
    };

    private readonly Option<bool> _allowUnauthenticated = Flag.Of<bool>("--allow-unauthenticated", "Serve a non-loopback address without a key.");
    private readonly Option<string[]> _allowedHosts = Flag.Many("--allowed-hosts", "Further names accepted in the Host header.");
    private readonly Option<string[]> _names = Flag.Many("--served-model-name", "Names the model answers to. Default: its folder's name.");
    private readonly Option<double> _grace = Flag.Seconds("--shutdown-grace",
        "After a stop signal: time in which /health says 503 and requests are still taken.", 1);
    private readonly Option<double> _timeout = Flag.Seconds("--shutdown-timeout",
        "After that: time for running requests; then they are cancelled. 0 cancels at once.", 30);
    private readonly Option<long> _bodyBytes = Flag.With("--max-body-bytes", "Bytes of a request body.", Defaults.BodyBytesMax);
    private readonly Option<int> _connections = Flag.With("--max-connections", "Open connections.", Defaults.ConnectionsMax);
    private readonly Option<int> _jsonDepth = Flag.With("--max-json-depth", "Nesting of a JSON body.", Defaults.JsonDepthMax);
    private readonly Option<int> _messages = Flag.With("--max-messages", "Messages of a chat request.", Defaults.MessagesMax);
    private readonly Option<int> _prompts = Flag.With("--max-prompts-per-request", "Prompts of a completion request.", Defaults.PromptsMax);
    private readonly Option<int> _choices = Flag.With("--max-n", "Outputs per prompt: the largest n, best_of and beam width.", Defaults.ChoicesMax);
    private readonly Option<bool> _prefixes = Flag.Of<bool>("--enable-prefix-registration",
        "Let clients keep prompts in the KV cache by name (POST /nativelm/prefixes) and empty the prefix cache.");
    private readonly Option<string[]> _sharedPrefixes = new("--shared-prefix")
    {
        Description = "Compute the text of FILE at start and keep it in the KV cache as NAME, for every API key; repeat for more.",
        HelpName = "NAME=FILE",
    };

    private readonly Option<int> _stops = Flag.With("--max-stop-strings", "Stop strings of a request.", Defaults.StopStringsMax);
    private readonly Option<int> _biases = Flag.With("--max-logit-bias", "Entries of logit_bias.", Defaults.LogitBiasMax);
    private readonly Option<double> _headerTimeout = Flag.Seconds("--header-timeout", "Time for a request's headers.",
        Defaults.HeaderTimeout.TotalSeconds);
    private readonly Option<double> _keepAlive = Flag.Seconds("--keep-alive-timeout", "Time an idle connection is kept.",
        Defaults.KeepAliveTimeout.TotalSeconds);

    public ServerFlags(Command command)
    {
        foreach (Option option in (Option[])[_host, _port, _apiKeys, _apiKeyFile, _allowUnauthenticated, _allowedHosts, _names, _grace, _timeout, _bodyBytes,
            _connections, _jsonDepth, _messages, _prompts, _choices, _prefixes, _sharedPrefixes, _stops, _biases, _headerTimeout, _keepAlive])
            command.Add(option);
    }

    /// <summary>The checked options.</summary>
    public ServerOptions Read(ParseResult parsed)
    {
        ServerOptions options = new()
        {
            Host = parsed.GetValue(_host)!,
            Port = parsed.GetValue(_port),
            ApiKeys = ReadKeys(parsed),
            SharedPrefixes = [.. (parsed.GetValue(_sharedPrefixes) ?? []).Select(ReadPrefix)],
            EnablePrefixRegistration = parsed.GetValue(_prefixes),
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
                ChoicesMax = (int)Positive(parsed, _choices),
                StopStringsMax = (int)Positive(parsed, _stops),
                LogitBiasMax = (int)Positive(parsed, _biases),
                HeaderTimeout = Time(parsed, _headerTimeout),
                KeepAliveTimeout = Time(parsed, _keepAlive),
            },
        };
        options.Validate();
        return options;
    }

    /// <summary>Keys of the command line are named key-1, key-2 and so on, the one of the environment "environment".</summary>
    private List<ApiKey> ReadKeys(ParseResult parsed)
    {
        List<ApiKey> keys = [.. (parsed.GetValue(_apiKeys) ?? []).Select(static (text, i) => new ApiKey($"key-{i + 1}", text))];
        if (Environment.GetEnvironmentVariable("NATIVELM_API_KEY") is { Length: > 0 } text)
            keys.Add(new ApiKey("environment", text));
        if (parsed.GetValue(_apiKeyFile) is string path)
            keys.AddRange(ApiKey.ReadFile(path));
        return keys;
    }

    private static (string Name, string Text) ReadPrefix(string word)
    {
        string[] parts = word.Split('=', 2);
        if (parts.Length != 2 || !RequestIds.IsValid(parts[0]))
            throw new UsageException($"--shared-prefix: found '{word}', needed NAME=FILE with a name of 1 to 64 characters of A-Z a-z 0-9 . _ -");
        try
        {
            if (new FileInfo(parts[1]).Length > Defaults.BodyBytesMax)
                throw new UsageException($"--shared-prefix: '{parts[1]}' has more than {Defaults.BodyBytesMax} bytes");
            return (parts[0], File.ReadAllText(parts[1]));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--shared-prefix: '{parts[1]}' cannot be read: {failure.Message}");
        }
    }

    private static long Positive<T>(ParseResult parsed, Option<T> option) where T : struct, System.Numerics.INumber<T>
    {
        T value = parsed.GetValue(option);
        return value > T.Zero ? long.CreateChecked(value) : throw new UsageException($"{option.Name}: found {value}, needed at least 1");
    }

    private static TimeSpan Time(ParseResult parsed, Option<double> option)
    {
        double seconds = parsed.GetValue(option);
        return seconds is >= 0 and <= 86_400 ? TimeSpan.FromSeconds(seconds)
            : throw new UsageException($"{option.Name}: found {seconds}, needed 0 to 86400 seconds");
    }
}
