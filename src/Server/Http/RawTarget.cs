using Microsoft.AspNetCore.Http.Features;

namespace NativeLM.Server.Http;

/// <summary>The path as it came over the wire: no decoding, no case folding, no dot segments removed.</summary>
internal static class RawTarget
{
    public static string Path(HttpRequest request)
    {
        string target = request.HttpContext.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        int query = target.IndexOf('?', StringComparison.Ordinal);
        return query < 0 ? target : target[..query];
    }
}
