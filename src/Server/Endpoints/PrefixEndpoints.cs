using System.Text.Json;
using NativeLM.Server.Contracts;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Endpoints;

/// <summary>Routes that decide what stays in the KV pool: prefixes by name, and the reset of the prefix cache. Only where the operator allows it.</summary>
internal static class PrefixEndpoints
{
    private const string Path = "/nativelm/prefixes";
    private const string Below = Path + "/";

    public static void Map(Router router, EngineHost host)
    {
        if (!host.Options.EnablePrefixRegistration)
            return;
        router.Post(Path, context => RegisterAsync(context, host));
        router.Get(Path, context => JsonAnswer.WriteAsync(
            context, new PrefixList([.. host.RequireLoaded().Prefixes.List(Authentication.KeyOf(context))]), ServerJson.Default.PrefixList));
        router.DeleteBelow(Below, context => Release(context, host));
        router.Post("/reset_prefix_cache", context => ResetAsync(context, host));
    }

    private static async Task RegisterAsync(HttpContext context, EngineHost host)
    {
        LoadedEngine loaded = host.RequireLoaded();
        PrefixRequest request;
        int[] ids;
        using (JsonDocument body = await RequestBody.ReadAsync(context, host.Options.Limits))
        {
            request = loaded.Mapper.Prefix(body.RootElement);
            ids = request.Chat is ChatPrompt chat ? loaded.Prompts.EncodeChat(chat, request.AddSpecialTokens)
                : request.Prompt!.Value.Ids ?? loaded.Prompts.EncodeText(request.Prompt!.Value.Text!, request.AddSpecialTokens);
        }
        PrefixCard card = await loaded.Prefixes.RegisterAsync(Authentication.KeyOf(context), request.Name, ids, request.CacheSalt);
        await JsonAnswer.WriteAsync(context, card, ServerJson.Default.PrefixCard);
    }

    private static Task Release(HttpContext context, EngineHost host)
    {
        // A name has no character that a path would escape.
        string name = RawTarget.Path(context.Request)[Below.Length..];
        return SharedPrefixes.IsName(name) && host.RequireLoaded().Prefixes.Release(Authentication.KeyOf(context), name)
            ? JsonAnswer.WriteAsync(context, new PrefixReleased(name), ServerJson.Default.PrefixReleased)
            : throw new ApiException(404, "not_found", $"There is no prefix '{Text.Clip(name)}'; GET {Path} lists them.", "name");
    }

    private static async Task ResetAsync(HttpContext context, EngineHost host)
    {
        await host.RequireLoaded().Engine.ResetPrefixCacheAsync().WaitAsync(context.RequestAborted);
        await JsonAnswer.WriteAsync(context, new HealthAnswer(EngineHost.Ok), ServerJson.Default.HealthAnswer);
    }
}
