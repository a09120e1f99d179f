using System.CommandLine;
using NativeLM.Engine;
using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm serve: listen, load, answer until a signal comes, drain, stop.</summary>
internal sealed class ServeCommand
{
    private readonly EngineFlags _engine;
    private readonly ServerFlags _server;

    private ServeCommand(Command command)
    {
        _engine = new EngineFlags(command);
        _server = new ServerFlags(command);
    }

    public static Command Build()
    {
        Command command = new("serve", "Serve a model over an OpenAI-compatible HTTP API.");
        command.SetAction(new ServeCommand(command).RunAsync);
        command.Teach("""
            nativelm serve                                        # the demo model on http://127.0.0.1:8000
            nativelm serve ./Llama-3.2-1B --port 9000 --dtype bfloat16
            nativelm serve ./my-model --max-model-len 4096 --kv-cache-memory 2GiB --max-num-seqs 64
            nativelm serve ./my-model --shared-prefix system=system-prompt.txt   # its blocks stay in the KV cache
            nativelm serve ./my-model --host 0.0.0.0 --api-key "$KEY"   # other machines may ask, with the key

            curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \
              -d '{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}'
            """);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        ServerOptions options = _server.Read(parsed);
        EngineOptions engineOptions = _engine.Read(parsed) with { KeyWeights = options.ApiKeys.ToDictionary(static key => key.Name, static key => key.Weight) };
        using StopSignals signals = new();
        using StderrLogs logs = new();
        await using ServerHost server = await ServerHost.StartAsync(options, logs);
        using ILoggerFactory loggers = LoggerFactory.Create(builder => builder.AddProvider(logs));
        Task<LlmEngine> loading = Task.Run(() => EngineLoading.Load(engineOptions, loggers), cancellation);
        // A signal while loading ends the process: nothing is running that could be lost.
        if (await Task.WhenAny(loading, signals.First) != loading)
            return CommandLineApp.Success;
        LlmEngine engine = await loading;
        server.Engine.Attach(engine);
        await KeepPrefixesAsync(server.Engine.RequireLoaded(), options);
        PrintReport(engine.Info, options, server);
        if (await Task.WhenAny(signals.First, FailureOf(engine.Health)) != signals.First)
        {
            // A lost device comes back only with a new process, which a supervisor starts. Answers on their way are sent first.
            await server.StopAsync(TimeSpan.FromSeconds(2));
            throw new InvalidOperationException($"the engine failed: {engine.Health.Failure}");
        }
        await DrainAsync(server, engine, options, signals, loggers.CreateLogger("NativeLM.Server"));
        return CommandLineApp.Success;
    }

    /// <summary>Completes when the engine has failed.</summary>
    private static async Task FailureOf(EngineHealth health)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(250));
        while (health.State != EngineState.Failed)
            await timer.WaitForNextTickAsync();
    }

    /// <summary>Readiness turns 503 first, so that nobody sends new work; then admission stops, then the listener.</summary>
    private static async Task DrainAsync(ServerHost server, LlmEngine engine, ServerOptions options, StopSignals signals, ILogger logger)
    {
        server.Engine.BeginDraining();
        ServerLog.Draining(logger, options.ShutdownGrace.TotalSeconds, options.ShutdownTimeout.TotalSeconds);
        try
        {
            await Task.Delay(options.ShutdownGrace, signals.Second);
            await engine.DrainAsync(options.ShutdownTimeout).AsTask().WaitAsync(signals.Second);
        }
        catch (OperationCanceledException)
        {
            ServerLog.Aborting(logger);
            await engine.DrainAsync(TimeSpan.Zero);
        }
        // What was written is sent; idle connections are closed.
        await server.StopAsync(TimeSpan.FromSeconds(2));
    }

    /// <summary>Cached prefixes are apart by key, so each key gets its own.</summary>
    private static async Task KeepPrefixesAsync(LoadedEngine loaded, ServerOptions options)
    {
        foreach ((string name, string text) in options.SharedPrefixes)
        {
            int[] ids = loaded.Prompts.EncodeText(text, addSpecialTokens: true);
            IReadOnlyList<ApiKey?> keys = options.ApiKeys.Count > 0 ? [.. options.ApiKeys] : [null];
            foreach (ApiKey? key in keys)
            {
                PrefixCard card = await loaded.Prefixes.RegisterAsync(key, name, ids, cacheSalt: null);
                Console.WriteLine($"shared prefix {name}{(key is null ? "" : $" of {key.Name}")}: {card.Tokens} tokens, {card.Blocks} KV blocks");
            }
        }
    }

    private static void PrintReport(EngineInfo info, ServerOptions options, ServerHost server)
    {
        Console.WriteLine($"NativeLM {BuildInfo.Version}");
        Console.WriteLine($"name: {string.Join(", ", server.Engine.RequireLoaded().Model.Names)}");
        foreach (string line in info.StartupReport)
            Console.WriteLine(line);
        Console.WriteLine($"request limits: {options.Limits.Describe()}");
        string keys = options.ApiKeys.Count > 0 ? $" with {options.ApiKeys.Count} API keys" : "";
        Console.WriteLine($"serving: {server.Address.GetLeftPart(UriPartial.Authority)}{keys}");
        Console.WriteLine();
        string key = options.ApiKeys.Count > 0 ? " -H 'Authorization: Bearer KEY'" : "";
        (string route, string body) = server.Engine.RequireLoaded().Engine.ChatTemplate is null
            ? ("completions", """{"prompt": "Once upon a time", "max_tokens": 64, "stream": true}""")
            : ("chat/completions", """{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}""");
        string address = server.Address.GetLeftPart(UriPartial.Authority);
        Console.WriteLine($"try: curl -N {address}/v1/{route}{key} -H 'Content-Type: application/json' -d '{body}'");
    }
}
