using System.Collections.Frozen;

namespace NativeLM.Server.Http;

/// <summary>Exact routes. A path matches letter for letter or not at all.</summary>
internal sealed class Router
{
    private readonly Dictionary<string, Dictionary<string, RequestDelegate>> _building = new(StringComparer.Ordinal);
    private readonly List<(string Method, string Prefix, RequestDelegate Handler)> _prefixes = [];
    private FrozenDictionary<string, Dictionary<string, RequestDelegate>>? _routes;

    /// <summary>Every route as "METHOD path", prefixes with a trailing star.</summary>
    public IEnumerable<string> Routes =>
        _building.SelectMany(static path => path.Value.Keys.Select(method => $"{method} {path.Key}"))
            .Concat(_prefixes.Select(static p => $"{p.Method} {p.Prefix}*"));

    public void Get(string path, RequestDelegate handler) => Add("GET", path, handler);

    public void Post(string path, RequestDelegate handler) => Add("POST", path, handler);

    /// <summary>A GET route whose last part is a name; the handler reads it from the raw path.</summary>
    public void GetBelow(string prefix, RequestDelegate handler) => _prefixes.Add(("GET", prefix, handler));

    /// <summary>The same for DELETE.</summary>
    public void DeleteBelow(string prefix, RequestDelegate handler) => _prefixes.Add(("DELETE", prefix, handler));

    /// <summary>The handler of a request; throws 404, or 405 after setting Allow.</summary>
    public RequestDelegate Find(HttpContext context)
    {
        _routes ??= _building.ToFrozenDictionary(StringComparer.Ordinal);
        string path = RawTarget.Path(context.Request);
        string method = context.Request.Method == "HEAD" ? "GET" : context.Request.Method;
        if (_routes.TryGetValue(path, out Dictionary<string, RequestDelegate>? methods))
            return methods.TryGetValue(method, out RequestDelegate? handler) ? handler : throw NotAllowed(context, methods.Keys);
        foreach ((string taken, string prefix, RequestDelegate handler) in _prefixes)
            if (path.Length > prefix.Length && path.StartsWith(prefix, StringComparison.Ordinal))
                return method == taken ? handler : throw NotAllowed(context, [taken]);
        throw ApiException.NotFound();
    }

    private void Add(string method, string path, RequestDelegate handler)
    {
        if (!_building.TryGetValue(path, out Dictionary<string, RequestDelegate>? methods))
            _building.Add(path, methods = new(StringComparer.Ordinal));
        methods.Add(method, handler);
    }

    private static ApiException NotAllowed(HttpContext context, IEnumerable<string> methods)
    {
        string allow = string.Join(", ", methods.SelectMany(static m => m == "GET" ? ["GET", "HEAD"] : new[] { m }));
        context.Response.Headers.Allow = allow;
        return new ApiException(405, "method_not_allowed", $"This route takes {allow}.");
    }
}
