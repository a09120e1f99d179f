using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Primitives;

namespace NativeLM.Server.Http;

/// <summary>
/// Default deny: with keys configured, every path but /health needs one, unknown paths included. Keys are compared as SHA-256
/// digests in fixed time, so that neither length nor content leaks.
/// </summary>
internal sealed class Authentication(IReadOnlyList<ApiKey> keys)
{
    private const string Scheme = "Bearer ";

    /// <summary>The key a request came with; null where none is needed.</summary>
    public static ApiKey? KeyOf(HttpContext context) => context.Features.Get<ApiKey>();

    /// <summary>Notes whose request it is; throws a 401 <see cref="ApiException"/> unless it may pass.</summary>
    public void Check(HttpContext context)
    {
        if (keys.Count == 0 || RawTarget.Path(context.Request) == "/health")
            return;
        string? presented = Presented(context.Request.Headers);
        if (presented is null)
            throw new ApiException(401, "invalid_api_key", "You didn't provide an API key: send it as 'Authorization: Bearer KEY'.");
        if (Find(presented) is not ApiKey key)
            throw new ApiException(401, "invalid_api_key", $"Incorrect API key provided: {Mask(presented)}.");
        context.Features.Set(key);
    }

    /// <summary>The one key the request presents; null if none, or if it is ambiguous.</summary>
    private static string? Presented(IHeaderDictionary headers)
    {
        StringValues authorization = headers.Authorization;
        if (authorization.Count > 1)
            return null;
        if (authorization.Count == 1)
            return authorization[0] is string value && value.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)
                ? value[Scheme.Length..].Trim() : null;
        StringValues key = headers["x-api-key"].Count > 0 ? headers["x-api-key"] : headers["api-key"];
        return key.Count == 1 ? key[0] : null;
    }

    private ApiKey? Find(string presented)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(presented), digest);
        ApiKey? found = null;
        foreach (ApiKey known in keys)
            if (CryptographicOperations.FixedTimeEquals(known.Sha256, digest))
                found = known;
        return found;
    }

    private static string Mask(string key) => key.Length < 12 ? new string('*', key.Length) : $"{Text.Clip(key[..3])}********{Text.Clip(key[^2..])}";
}
