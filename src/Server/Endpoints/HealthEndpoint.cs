using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.Endpoints;

/// <summary>GET /health: ready to take requests? With ?probe=live: does the process work? Reads flags only, never waits for the engine.</summary>
internal static class HealthEndpoint
{
    public static void Map(Router router, EngineHost engine) => router.Get("/health", context =>
    {
        bool live = context.Request.Query["probe"] == "live";
        string status = engine.Status;
        bool ok = live ? engine.IsLive : status == EngineHost.Ok;
        context.Response.StatusCode = ok ? 200 : 503;
        context.Response.Headers.CacheControl = "no-store";
        return JsonAnswer.WriteAsync(context, new HealthAnswer(ok && live ? EngineHost.Ok : status), ServerJson.Default.HealthAnswer);
    });
}
