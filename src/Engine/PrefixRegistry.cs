namespace NativeLM.Engine;

/// <summary>Names of registered prefixes and how many KV blocks they keep. Any thread.</summary>
internal sealed class PrefixRegistry
{
    /// <summary>Most prefixes.</summary>
    public const int CountMax = 64;

    private const int NameLengthMax = 129; // two names of 64 and what stands between them

    private readonly Dictionary<string, Entry> _entries = [];
    private int _blockCount;

    /// <summary>Blocks kept or about to be.</summary>
    public int BlockCount => Volatile.Read(ref _blockCount);

    /// <summary>Takes a name before its prefix is computed. What is returned stands for this registration and no later one of the name.</summary>
    public Entry Reserve(string name, int blocks)
    {
        lock (_entries)
        {
            if (string.IsNullOrWhiteSpace(name) || name.Length > NameLengthMax)
                throw Refused($"name: found {name?.Length ?? 0} characters, needed 1 to {NameLengthMax}");
            if (_entries.ContainsKey(name))
                throw Refused($"name: a prefix '{name}' is registered already; release it first");
            if (_entries.Count >= CountMax)
                throw Refused($"found {_entries.Count} registered prefixes, the limit is {CountMax}; release one first");
            Entry entry = new(blocks);
            _entries.Add(name, entry);
            _blockCount += blocks;
            return entry;
        }
    }

    /// <summary>Its prefix is computed.</summary>
    public SharedPrefix Settle(Entry entry, SharedPrefix prefix)
    {
        lock (_entries)
            entry.Prefix = prefix;
        return prefix;
    }

    /// <summary>Frees the name of a registration that came to nothing, unless it is free or taken again.</summary>
    public void Remove(string name, Entry entry)
    {
        lock (_entries)
            if (_entries.TryGetValue(name, out Entry? present) && present == entry)
                Remove(name);
    }

    /// <summary>Frees a name; false if it is not taken.</summary>
    public bool Remove(string name)
    {
        lock (_entries)
        {
            if (!_entries.Remove(name, out Entry? entry))
                return false;
            _blockCount -= entry.Blocks;
            return true;
        }
    }

    /// <summary>Frees every name. One whose prefix is still being computed is refused when that ends.</summary>
    public void Clear()
    {
        lock (_entries)
        {
            _entries.Clear();
            _blockCount = 0;
        }
    }

    /// <summary>Those that are computed, by name.</summary>
    public IReadOnlyList<SharedPrefix> List()
    {
        lock (_entries)
            return [.. _entries.Values.Select(entry => entry.Prefix).OfType<SharedPrefix>().OrderBy(prefix => prefix.Name, StringComparer.Ordinal)];
    }

    private static RequestRejectedException Refused(string found) => new(RejectionKind.InvalidValue, found, "name");

    /// <summary>One registration. Guarded by the registry.</summary>
    public sealed class Entry(int blocks)
    {
        public int Blocks { get; } = blocks;

        /// <summary>Null until it is computed.</summary>
        public SharedPrefix? Prefix { get; set; }
    }
}
