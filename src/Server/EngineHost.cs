using System.Security.Cryptography;
using System.Text;
using NativeLM.Engine;
using NativeLM.Engine.Diagnostics;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;
using NativeLM.Server.Validation;

namespace NativeLM.Server;

/// <summary>A loaded engine with what the routes need beside it.</summary>
internal sealed record LoadedEngine(
    LlmEngine Engine, ServedModel Model, RequestMapper Mapper, PromptBuilder Prompts, SharedPrefixes Prefixes);

/// <summary>The engine's life as the HTTP side sees it: loading, ready, draining, failed.</summary>
internal sealed class EngineHost(ServerOptions options) : IAsyncDisposable
{
    /// <summary>The status of a server that takes requests.</summary>
    public const string Ok = "ok";

    private volatile LoadedEngine? _loaded;
    private volatile bool _draining;

    /// <summary>ok, loading, draining or engine_failed.</summary>
    public string Status =>
        _draining ? "draining"
        : _loaded is not LoadedEngine loaded ? "loading"
        : loaded.Engine.Health.State == EngineState.Draining ? "draining"
        : loaded.Engine.Health.IsReady ? Ok : "engine_failed";

    /// <summary>True while the process works: also during loading and draining, not once the engine has failed or stalled.</summary>
    public bool IsLive => _loaded is not LoadedEngine loaded || (loaded.Engine.Health.State != EngineState.Failed && !loaded.Engine.Health.IsStalled);

    /// <summary>The engine, or null while it loads.</summary>
    public LoadedEngine? Loaded => _loaded;

    /// <summary>Requests in the batch.</summary>
    public long RunningCount => Gauge("vllm:num_requests_running");

    /// <summary>Requests that wait for a place in it.</summary>
    public long WaitingCount => Gauge("vllm:num_requests_waiting");

    /// <summary>Limits and intervals of the HTTP side.</summary>
    public ServerOptions Options => options;

    /// <summary>Takes over a loaded engine: from now on requests are served.</summary>
    public void Attach(LlmEngine engine)
    {
        ServedModel model = Describe(engine, options.ServedModelNames);
        _loaded = new LoadedEngine(engine, model, new RequestMapper(model, options.Limits), new PromptBuilder(engine, model),
            new SharedPrefixes(engine, options.Limits.SharedPrefixesMax));
    }

    /// <summary>What the checks of requests need to know of an engine. Without names it answers to its own.</summary>
    public static ServedModel Describe(LlmEngine engine, IReadOnlyList<string> names) => new()
    {
        Names = names.Count > 0 ? [.. names.Distinct(StringComparer.Ordinal)] : [engine.Info.ModelName],
        Root = engine.Info.ModelName,
        // Embedding tables are often padded beyond the tokenizer: such ids stand for no text.
        VocabularySize = Math.Min(engine.Info.VocabularySize, engine.Tokenizer.VocabularySize),
        ContextLength = engine.Info.MaxModelLength,
        LongestTokenBytes = LongestToken(engine),
        DefaultSampling = engine.DefaultSampling,
        Created = DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
        Fingerprint = Fingerprint(engine.Info),
    };

    /// <summary>The loaded engine; throws 503 while there is none.</summary>
    public LoadedEngine RequireLoaded() => _loaded ?? throw ApiException.Loading();

    /// <summary>From now on /health says draining; requests are still taken until the engine stops admission.</summary>
    public void BeginDraining() => _draining = true;

    public ValueTask DisposeAsync() => _loaded?.Engine.DisposeAsync() ?? default;

    private long Gauge(string name) => (long)(_loaded?.Engine.Metrics.All.OfType<Gauge>().First(gauge => gauge.Name == name).Value ?? 0);

    private static int LongestToken(LlmEngine engine)
    {
        int longest = 1;
        for (int id = 0; id < engine.Tokenizer.VocabularySize; id++)
            longest = Math.Max(longest, engine.Tokenizer.TokenBytes(id).Length);
        return longest;
    }

    /// <summary>What decides the numbers: build, model, precision, device and the engine constants.</summary>
    private static string Fingerprint(EngineInfo info)
    {
        string settings = $"{BuildInfo.Version}|{info.ModelName}|{info.Architecture}|{info.DType}|{info.Device}|{info.BlockSize}|{info.VocabularySize}";
        return "fp_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(settings)))[..10];
    }
}
