namespace NativeLM.Server.Http;

/// <summary>Gives every request a name that the response repeats: the client's own X-Request-Id if it is well formed, else a new one.</summary>
internal static class RequestIds
{
    private const int CharsMax = 64;

    public static string Assign(HttpContext context)
    {
        string? asked = context.Request.Headers["X-Request-Id"] is [{ } single] ? single : null;
        string id = asked is not null && IsValid(asked) ? asked : Guid.NewGuid().ToString("N");
        context.Response.Headers["X-Request-Id"] = id;
        return id;
    }

    /// <summary>The id given to this request.</summary>
    public static string Of(HttpContext context) => context.Response.Headers["X-Request-Id"].ToString();

    public static bool IsValid(string id) =>
        id.Length is >= 1 and <= CharsMax && id.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
}
