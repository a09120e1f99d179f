using System.Collections.Concurrent;

namespace NativeLM.Server.Http;

/// <summary>Requests inside the server, and refusals by error code (a closed set of our own words).</summary>
internal sealed class RequestCounter
{
    private readonly ConcurrentDictionary<string, long> _rejected = new(StringComparer.Ordinal);
    private long _inside;

    /// <summary>Requests between their headers and the end of their answer.</summary>
    public long Inside => Interlocked.Read(ref _inside);

    public IEnumerable<KeyValuePair<string, long>> RejectedByCode => _rejected.OrderBy(static entry => entry.Key, StringComparer.Ordinal);

    public void Enter() => Interlocked.Increment(ref _inside);

    public void Leave() => Interlocked.Decrement(ref _inside);

    public void Rejected(string code) => _rejected.AddOrUpdate(code, 1, static (_, count) => count + 1);
}
