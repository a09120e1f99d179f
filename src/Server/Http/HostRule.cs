namespace NativeLM.Server.Http;

/// <summary>
/// The Host header must be a name that this server answers to. On loopback that stops DNS rebinding: a web page whose name
/// resolves to 127.0.0.1 sends its own name.
/// </summary>
internal sealed class HostRule(ServerOptions options)
{
    private readonly bool _acceptsAny = !options.IsLoopback && options.AllowedHosts.Count == 0;

    /// <summary>Throws a 400 <see cref="ApiException"/> for a foreign host.</summary>
    public void Check(HttpRequest request)
    {
        if (_acceptsAny || Accepts(request.Host.Host))
            return;
        throw new ApiException(400, "invalid_host", "The Host header names a host this server does not answer to; --allowed-hosts adds one.");
    }

    private bool Accepts(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (System.Net.IPAddress.TryParse(host.AsSpan().Trim("[]"), out System.Net.IPAddress? ip) && System.Net.IPAddress.IsLoopback(ip))
        || options.AllowedHosts.Contains(host, StringComparer.OrdinalIgnoreCase);
}
