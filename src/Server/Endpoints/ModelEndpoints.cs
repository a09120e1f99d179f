using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.Endpoints;

/// <summary>GET /v1/models and /v1/models/{id}.</summary>
internal static class ModelEndpoints
{
    private const string Prefix = "/v1/models/";

    public static void Map(Router router, EngineHost engine)
    {
        router.Get("/v1/models", context =>
        {
            ServedModel model = engine.RequireLoaded().Model;
            return JsonAnswer.WriteAsync(context, new ModelList([.. model.Names.Select(name => Card(model, name))]), ServerJson.Default.ModelList);
        });
        router.GetBelow(Prefix, context =>
        {
            ServedModel model = engine.RequireLoaded().Model;
            // A name is compared with the served names and used for nothing else, so an escaped slash in it is harmless.
            string name = Uri.UnescapeDataString(RawTarget.Path(context.Request)[Prefix.Length..]);
            return model.Names.Contains(name, StringComparer.Ordinal)
                ? JsonAnswer.WriteAsync(context, Card(model, name), ServerJson.Default.ModelCard)
                : throw ApiException.ModelNotFound(name);
        });
    }

    private static ModelCard Card(ServedModel model, string name) => new(name, model.Created, model.Root, model.ContextLength);
}
