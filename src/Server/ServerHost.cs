using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using NativeLM.Server.Endpoints;
using NativeLM.Server.Http;

namespace NativeLM.Server;

/// <summary>Kestrel with every limit set, and the routes. Listens before the model is loaded: until then /health says so.</summary>
internal sealed class ServerHost : IAsyncDisposable
{
    private readonly WebApplication _app;

    private ServerHost(WebApplication app, EngineHost engine, Router router)
    {
        _app = app;
        Engine = engine;
        Router = router;
    }

    /// <summary>The engine behind the routes.</summary>
    public EngineHost Engine { get; }

    /// <summary>The routes.</summary>
    public Router Router { get; }

    /// <summary>Address in use, with the port that was taken.</summary>
    public Uri Address => new(_app.Urls.First());

    /// <summary>Starts to listen. Throws <see cref="IOException"/> with one clear line if the address cannot be had.</summary>
    public static async Task<ServerHost> StartAsync(ServerOptions options, ILoggerProvider? logs = null)
    {
        options.Validate();
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        if (logs is not null)
            builder.Logging.AddProvider(logs).AddFilter("Microsoft", LogLevel.Warning).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None).AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Error);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => Configure(kestrel, options));
        WebApplication app = builder.Build();
        EngineHost engine = new(options);
        RequestCounter counter = new();
        Router router = Routes(engine, counter);
        FrontDoor door = new(router, options, counter, app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("NativeLM.Server"));
        app.Run(door.HandleAsync);
        try
        {
            await app.StartAsync();
        }
        catch (Exception failure) when (failure is IOException or SocketException)
        {
            await app.DisposeAsync();
            throw new IOException(Explain(failure, options), failure);
        }
        return new ServerHost(app, engine, router);
    }

    /// <summary>Stops listening and waits until open requests have ended, at most the time given.</summary>
    public async Task StopAsync(TimeSpan timeout)
    {
        using CancellationTokenSource limit = new(timeout);
        await _app.StopAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await Engine.DisposeAsync();
    }

    private static Router Routes(EngineHost engine, RequestCounter counter)
    {
        Router router = new();
        HealthEndpoint.Map(router, engine);
        MetricsEndpoint.Map(router, engine, counter);
        StatusEndpoints.Map(router, engine, counter);
        ModelEndpoints.Map(router, engine);
        TokenEndpoints.Map(router, engine);
        GenerationEndpoints.Map(router, engine);
        PrefixEndpoints.Map(router, engine);
        return router;
    }

    private static void Configure(KestrelServerOptions kestrel, ServerOptions options)
    {
        RequestLimits limits = options.Limits;
        MinDataRate rate = new(limits.BytesPerSecondMin, limits.RateGrace);
        kestrel.AddServerHeader = false;
        kestrel.AllowResponseHeaderCompression = false;
        kestrel.Limits.MaxRequestBodySize = limits.BodyBytesMax;
        kestrel.Limits.MaxRequestLineSize = limits.RequestLineBytesMax;
        kestrel.Limits.MaxRequestHeadersTotalSize = limits.HeaderBytesMax;
        kestrel.Limits.MaxRequestHeaderCount = limits.HeaderCountMax;
        kestrel.Limits.RequestHeadersTimeout = limits.HeaderTimeout;
        kestrel.Limits.MinRequestBodyDataRate = rate;
        kestrel.Limits.MinResponseDataRate = rate;
        kestrel.Limits.MaxConcurrentConnections = limits.ConnectionsMax;
        kestrel.Limits.MaxConcurrentUpgradedConnections = 0;
        kestrel.Limits.KeepAliveTimeout = limits.KeepAliveTimeout;
        kestrel.Limits.MaxResponseBufferSize = limits.UnsentBytesMax;
        kestrel.Limits.MaxRequestBufferSize = 1 << 20;
        kestrel.ConfigureEndpointDefaults(static listen => listen.Protocols = HttpProtocols.Http1);
        if (string.Equals(options.Host, "localhost", StringComparison.OrdinalIgnoreCase) && options.Port != 0)
            kestrel.ListenLocalhost(options.Port);
        else
            kestrel.Listen(Resolve(options.Host), options.Port);
    }

    private static IPAddress Resolve(string host)
    {
        if (IPAddress.TryParse(host, out IPAddress? ip))
            return ip;
        if (string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase))
            return IPAddress.Loopback;
        try
        {
            return Dns.GetHostAddresses(host)[0];
        }
        catch (SocketException)
        {
            throw new ArgumentException($"--host: '{host}' is not an address and no name this machine knows");
        }
    }

    private static string Explain(Exception failure, ServerOptions options)
    {
        SocketException? socket = failure as SocketException ?? failure.InnerException as SocketException ?? failure.InnerException?.InnerException as SocketException;
        string place = $"{options.Host}:{options.Port}";
        return socket?.SocketErrorCode switch
        {
            _ when failure.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException => $"{place} is in use; stop the other program or choose another --port",
            SocketError.AddressAlreadyInUse => $"{place} is in use; stop the other program or choose another --port",
            SocketError.AccessDenied => $"{place} may not be opened by this user; ports below 1024 need a privilege",
            SocketError.AddressNotAvailable => $"{place}: this machine has no such address",
            _ => $"cannot listen on {place}: {failure.Message}",
        };
    }

    /// <summary>Signals are handled by the serve command, not by the host.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
