using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// Requests that have not run yet, one queue per key. Served first is the best priority; among keys with that, the one that received least;
/// within a key, who came first. With one key that is first come, first served. Engine thread only.
/// </summary>
internal sealed class WaitingQueue
{
    private readonly List<KeyQueue> _active = []; // keys with a request that waits or runs

    /// <summary>Requests over all keys.</summary>
    public int Count { get; private set; }

    /// <summary>Keys with a request that waits or runs.</summary>
    public IReadOnlyList<KeyQueue> Active => _active;

    /// <summary>Takes a new request in.</summary>
    public void Add(SequenceGroup group)
    {
        KeyQueue key = group.Key!;
        if (key.LiveCount++ == 0)
            Activate(key);
        key.Add(group);
        Count++;
    }

    /// <summary>A request begins to run or ends without having run.</summary>
    public void Remove(SequenceGroup group)
    {
        group.Key!.Remove(group);
        Count--;
    }

    /// <summary>A request ended.</summary>
    public void Leave(KeyQueue key)
    {
        if (--key.LiveCount == 0)
            _active.Remove(key);
    }

    /// <summary>Starts looking at requests in the order of service.</summary>
    public void BeginScan()
    {
        foreach (KeyQueue key in _active)
            key.ScanPosition = 0;
    }

    /// <summary>
    /// The next request in the order of service, or null. It stays in the queue, and the scan passes on; service charged meanwhile counts.
    /// </summary>
    public SequenceGroup? Next()
    {
        KeyQueue? best = null;
        foreach (KeyQueue key in _active)
            if (key.ScanPosition < key.Waiting.Length && (best is null || ComesFirst(key, best)))
                best = key;
        return best?.Waiting[best.ScanPosition++];
    }

    /// <summary>The request that is first in the order of priority and arrival, or null.</summary>
    public SequenceGroup? Oldest()
    {
        SequenceGroup? oldest = null;
        foreach (KeyQueue key in _active)
            if (key.Waiting.Length > 0 && (oldest is null || key.Waiting[0].IsBefore(oldest)))
                oldest = key.Waiting[0];
        return oldest;
    }

    private void Activate(KeyQueue key)
    {
        if (_active.Count > 0)
        {
            double least = double.MaxValue;
            foreach (KeyQueue other in _active)
                least = Math.Min(least, other.Counter);
            key.LiftTo(least);
        }
        _active.Add(key);
    }

    private static bool ComesFirst(KeyQueue key, KeyQueue other)
    {
        SequenceGroup mine = key.Waiting[key.ScanPosition], its = other.Waiting[other.ScanPosition];
        if (mine.Priority != its.Priority)
            return mine.Priority < its.Priority;
        return key.Counter != other.Counter ? key.Counter < other.Counter : mine.Arrival < its.Arrival;
    }
}
