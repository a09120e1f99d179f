using System.Text.Json;
using NativeLM.Server.Contracts;
using NativeLM.Server.Http;
using NativeLM.Server.Streaming;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Endpoints;

/// <summary>POST /tokenize and /detokenize: tokens without generation.</summary>
internal static class TokenEndpoints
{
    public static void Map(Router router, EngineHost host)
    {
        router.Post("/tokenize", context => TokenizeAsync(context, host));
        router.Post("/detokenize", context => DetokenizeAsync(context, host));
    }

    private static async Task TokenizeAsync(HttpContext context, EngineHost host)
    {
        LoadedEngine loaded = host.RequireLoaded();
        using JsonDocument body = await RequestBody.ReadAsync(context, host.Options.Limits);
        TokenizeRequest request = loaded.Mapper.Tokenize(body.RootElement);
        int[] ids = request.Chat is ChatPrompt chat
            ? loaded.Prompts.EncodeChat(chat, request.AddSpecialTokens)
            : loaded.Prompts.EncodeText(request.Prompt!, request.AddSpecialTokens);
        TokenNames names = new(loaded.Engine.Tokenizer, asIds: false);
        TokenizeAnswer answer = new(ids.Length, loaded.Model.ContextLength, ids, request.ReturnTokenStrings ? [.. ids.Select(names.Name)] : null);
        await JsonAnswer.WriteAsync(context, answer, ServerJson.Default.TokenizeAnswer);
    }

    private static async Task DetokenizeAsync(HttpContext context, EngineHost host)
    {
        LoadedEngine loaded = host.RequireLoaded();
        using JsonDocument body = await RequestBody.ReadAsync(context, host.Options.Limits);
        DetokenizeRequest request = loaded.Mapper.Detokenize(body.RootElement);
        DetokenizeAnswer answer = new(loaded.Engine.Tokenizer.Decode(request.Tokens, skipSpecialTokens: false));
        await JsonAnswer.WriteAsync(context, answer, ServerJson.Default.DetokenizeAnswer);
    }
}
