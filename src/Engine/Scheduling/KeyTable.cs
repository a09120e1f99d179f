using System.Collections.Concurrent;

namespace NativeLM.Engine.Scheduling;

/// <summary>The queues of the keys, by name. Any thread.</summary>
internal sealed class KeyTable(IReadOnlyDictionary<string, double> weights, AdmissionQueue queue)
{
    /// <summary>Most keys with a queue of their own: each stays as long as the engine.</summary>
    public const int KeysMax = 4096;

    private readonly ConcurrentDictionary<string, KeyQueue> _keys = [];
    private readonly KeyQueue _anonymous = new("anonymous");

    /// <summary>The queue of a key; null: of all who have none.</summary>
    public KeyQueue Find(string? name)
    {
        if (name is null)
            return _anonymous;
        if (_keys.TryGetValue(name, out KeyQueue? key))
            return key;
        if (_keys.Count >= KeysMax)
            throw new RequestRejectedException(RejectionKind.InvalidValue, $"found more than {KeysMax} different keys; requests need fewer, or none", "key");
        queue.HasSeveralKeys = !_keys.IsEmpty;
        return _keys.GetOrAdd(name, n => new KeyQueue(n, weights.GetValueOrDefault(n, 1)));
    }

    /// <summary>The keys seen so far.</summary>
    public IEnumerable<KeyQueue> All => _keys.Values;
}
