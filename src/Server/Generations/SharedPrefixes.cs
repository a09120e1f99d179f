using NativeLM.Engine;
using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.Generations;

/// <summary>
/// Prefixes that stay in the KV pool by name. Each belongs to the API key that registered it, as cached prefixes do: other keys neither see nor
/// hit it, and may use the same name. Any thread.
/// </summary>
internal sealed class SharedPrefixes(LlmEngine engine, int countMax)
{
    /// <summary>Between a key's name and the prefix's; in neither.</summary>
    private const char Separator = '/';

    private readonly Lock _gate = new();
    private int _registering;

    /// <summary>True for 1 to 64 characters of A-Z a-z 0-9 . _ -.</summary>
    public static bool IsName(string name) => RequestIds.IsValid(name);

    /// <summary>Computes a prefix and keeps its full blocks.</summary>
    /// <exception cref="ApiException">There are as many as allowed.</exception>
    /// <exception cref="RequestRejectedException">The name is taken, or the engine cannot keep the tokens.</exception>
    public async Task<PrefixCard> RegisterAsync(ApiKey? key, string name, int[] ids, string? cacheSalt)
    {
        lock (_gate)
        {
            // Those under way count, so that many at once cannot pass the bound.
            if (engine.SharedPrefixes.Count + _registering >= countMax)
                throw ApiException.InvalidValue("name", $"This server keeps at most {countMax} prefixes; release one first.");
            _registering++;
        }
        try
        {
            SharedPrefix prefix = await engine.RegisterPrefixAsync(Scoped(key, name), ids, cacheSalt, key?.Name);
            return new PrefixCard(name, prefix.TokenCount, prefix.BlockCount);
        }
        finally
        {
            lock (_gate)
                _registering--;
        }
    }

    /// <summary>Those of a key, in the order of their names.</summary>
    public IEnumerable<PrefixCard> List(ApiKey? key)
    {
        string scope = Scoped(key, "");
        return engine.SharedPrefixes
            .Where(prefix => prefix.Name.StartsWith(scope, StringComparison.Ordinal) && !prefix.Name.AsSpan(scope.Length).Contains(Separator))
            .OrderBy(static prefix => prefix.Name, StringComparer.Ordinal)
            .Select(prefix => new PrefixCard(prefix.Name[scope.Length..], prefix.TokenCount, prefix.BlockCount));
    }

    /// <summary>Lets the pool have a prefix's blocks back; false if the key has none of that name.</summary>
    public bool Release(ApiKey? key, string name) => engine.ReleasePrefix(Scoped(key, name));

    private static string Scoped(ApiKey? key, string name) => key is null ? name : $"{key.Name}{Separator}{name}";
}
