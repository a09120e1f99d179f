using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.Endpoints;

/// <summary>GET /version and /load.</summary>
internal static class StatusEndpoints
{
    public static void Map(Router router, EngineHost engine, RequestCounter counter)
    {
        router.Get("/version", static context => JsonAnswer.WriteAsync(context, new VersionAnswer(BuildInfo.Version),
            ServerJson.Default.VersionAnswer));
        // The request that asks is not counted.
        router.Get("/load", context => JsonAnswer.WriteAsync(
            context, new LoadAnswer(counter.Inside - 1, engine.RunningCount, engine.WaitingCount), ServerJson.Default.LoadAnswer));
    }
}
