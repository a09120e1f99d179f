namespace NativeLM.Tests;

/// <summary>
/// The rules of the block manager in plain dictionaries and lists, with no thought for speed: what the real one must agree with, block for
/// block, and what benchmarks compare it with. Prefixes are found by their tokens; there is no hash.
/// </summary>
internal sealed class NaiveBlockManager
{
    private readonly int _blockSize;
    private readonly List<int> _free; // the first is taken next
    private readonly Dictionary<int, int> _owners = [];
    private readonly Dictionary<PrefixKey, int> _index = [];
    private readonly Dictionary<int, (PrefixKey Key, long Serial)> _entries = [];
    private readonly Stack<int> _hostFree;
    private readonly Dictionary<int, int> _hostOwners = [];
    private long _serial;
    private int _epoch;

    public NaiveBlockManager(int blockCount, int blockSize, int hostBlockCount)
    {
        _blockSize = blockSize;
        _free = [.. Enumerable.Range(1, blockCount - 1)];
        _hostFree = new Stack<int>(Enumerable.Range(0, hostBlockCount).Reverse());
    }

    public IReadOnlyList<int> FreeBlocks => _free;

    public IEnumerable<int> IndexedBlocks => _entries.Keys;

    public int Owners(int block) => _owners.GetValueOrDefault(block);

    public List<int> Match(IReadOnlyList<int> tokens, UInt128 salt)
    {
        List<int> found = [];
        long parent = 0;
        while ((found.Count + 1) * _blockSize < tokens.Count
            && _index.TryGetValue(Key(parent, salt, tokens, found.Count), out int block))
        {
            found.Add(block);
            parent = _entries[block].Serial;
        }
        return found;
    }

    public bool TryReserve(NaiveTable table, List<int> match, int tokens, int margin)
    {
        int added = Blocks(tokens) - match.Count, consumed = added + match.Count(block => !_owners.ContainsKey(block));
        if (consumed > 0 && consumed > _free.Count - margin)
            return false;
        Begin(table);
        foreach (int block in match)
            Touch(block);
        table.Blocks.AddRange(match);
        table.Indexed = match.Count;
        table.Chain = match.Count > 0 ? _entries[match[^1]].Serial : 0;
        for (int i = 0; i < added; i++)
            table.Blocks.Add(Take());
        return true;
    }

    public bool TryGrow(NaiveTable table, int tokens, int margin)
    {
        int added = Blocks(tokens) - table.Blocks.Count;
        if (added > 0 && added > _free.Count - margin)
            return false;
        if (table.Blocks.Count == 0)
            Begin(table);
        for (int i = 0; i < added; i++)
            table.Blocks.Add(Take());
        return true;
    }

    public void Fork(NaiveTable parent, NaiveTable child, int blockCount)
    {
        (child.Epoch, child.IsSwapped) = (parent.Epoch, parent.IsSwapped);
        (child.Indexed, child.Chain) = parent.Indexed <= blockCount ? (parent.Indexed, parent.Chain) : (0, 0);
        child.Blocks.AddRange(parent.Blocks.Take(blockCount));
        foreach (int block in child.Blocks)
            (child.IsSwapped ? _hostOwners : _owners)[block]++;
    }

    public int WriteCost(IReadOnlyList<NaiveTable> tables, IReadOnlyList<int> positions)
    {
        int cost = 0;
        Dictionary<int, int> owners = new(_owners);
        for (int i = 0; i < tables.Count; i++)
        {
            int index = positions[i] / _blockSize;
            if (index == tables[i].Blocks.Count)
                cost++;
            else if (owners[tables[i].Blocks[index]] > 1)
            {
                owners[tables[i].Blocks[index]]--;
                cost++;
            }
        }
        return cost;
    }

    public (int Source, int Destination)? PrepareWrite(NaiveTable table, int position)
    {
        int index = position / _blockSize;
        if (index == table.Blocks.Count)
        {
            TryGrow(table, position + 1, margin: 0);
            return null;
        }
        int source = table.Blocks[index];
        if (_owners[source] == 1)
            return null;
        int copy = Take();
        table.Blocks[index] = copy;
        Release(source);
        return (source, copy);
    }

    public void Index(NaiveTable table, IReadOnlyList<int> tokens, UInt128 salt, int finalCount)
    {
        for (; table.Indexed < finalCount / _blockSize; table.Indexed++)
        {
            if (table.Epoch != _epoch)
                continue;
            PrefixKey key = Key(table.Indexed == 0 ? 0 : table.Chain, salt, tokens, table.Indexed);
            if (!_index.TryGetValue(key, out int block))
            {
                block = table.Blocks[table.Indexed];
                Forget(block);
                _index.Add(key, block);
                _entries.Add(block, (key, ++_serial));
            }
            table.Chain = _entries[block].Serial;
        }
    }

    public void Free(NaiveTable table)
    {
        for (int i = table.Blocks.Count - 1; i >= 0; i--)
            if (table.IsSwapped)
                ReleaseHost(table.Blocks[i]);
            else
                Release(table.Blocks[i]);
        Begin(table);
    }

    public void Truncate(NaiveTable table, int tokens)
    {
        while (table.Blocks.Count > Blocks(tokens))
        {
            Release(table.Blocks[^1]);
            table.Blocks.RemoveAt(table.Blocks.Count - 1);
        }
    }

    public bool TrySwapOut(IReadOnlyList<NaiveTable> tables)
    {
        if (tables.SelectMany(t => t.Blocks).Distinct().Count() > _hostFree.Count)
            return false;
        Dictionary<int, int> moved = [];
        foreach (NaiveTable table in tables)
        {
            for (int i = table.Blocks.Count - 1; i >= 0; i--)
            {
                int block = table.Blocks[i];
                if (!moved.ContainsKey(block))
                    moved.Add(block, _hostFree.Pop());
                table.Blocks[i] = moved[block];
                _hostOwners[moved[block]] = _hostOwners.GetValueOrDefault(moved[block]) + 1;
                Release(block);
            }
            table.IsSwapped = true;
        }
        return true;
    }

    public bool TrySwapIn(IReadOnlyList<NaiveTable> tables, int margin)
    {
        int distinct = tables.SelectMany(t => t.Blocks).Distinct().Count();
        if (distinct > 0 && distinct > _free.Count - margin)
            return false;
        Dictionary<int, int> moved = [];
        foreach (NaiveTable table in tables)
        {
            for (int i = 0; i < table.Blocks.Count; i++)
            {
                int block = table.Blocks[i];
                if (!moved.TryAdd(block, 0))
                    _owners[moved[block]]++;
                else
                    moved[block] = Take();
                table.Blocks[i] = moved[block];
                ReleaseHost(block);
            }
            (table.IsSwapped, table.Indexed, table.Chain) = (false, 0, 0);
        }
        return true;
    }

    public void Reset()
    {
        _index.Clear();
        _entries.Clear();
        _epoch++;
    }

    private int Blocks(int tokens) => (tokens + _blockSize - 1) / _blockSize;

    private PrefixKey Key(long parent, UInt128 salt, IReadOnlyList<int> tokens, int index) =>
        new(parent, salt, string.Join(' ', tokens.Skip(index * _blockSize).Take(_blockSize)));

    private void Begin(NaiveTable table)
    {
        table.Blocks.Clear();
        (table.Indexed, table.Chain, table.IsSwapped, table.Epoch) = (0, 0, false, _epoch);
    }

    private int Take()
    {
        int block = _free[0];
        _free.RemoveAt(0);
        Forget(block);
        _owners.Add(block, 1);
        return block;
    }

    private void Touch(int block)
    {
        _free.Remove(block);
        _owners[block] = _owners.GetValueOrDefault(block) + 1;
    }

    private void Release(int block)
    {
        if (--_owners[block] > 0)
            return;
        _owners.Remove(block);
        if (_entries.ContainsKey(block))
            _free.Add(block);
        else
            _free.Insert(0, block);
    }

    private void ReleaseHost(int block)
    {
        if (--_hostOwners[block] > 0)
            return;
        _hostOwners.Remove(block);
        _hostFree.Push(block);
    }

    private void Forget(int block)
    {
        if (_entries.Remove(block, out (PrefixKey Key, long Serial) entry))
            _index.Remove(entry.Key);
    }

    private readonly record struct PrefixKey(long Parent, UInt128 Salt, string Tokens);
}

/// <summary>A block table of a <see cref="NaiveBlockManager"/>.</summary>
internal sealed class NaiveTable
{
    public List<int> Blocks { get; } = [];

    public int Indexed { get; set; }

    public long Chain { get; set; }

    public int Epoch { get; set; }

    public bool IsSwapped { get; set; }
}
