using System.Numerics;

namespace NativeLM.Engine.Memory;

/// <summary>
/// Finds KV blocks by the tokens whose K and V they hold. One entry per block at most, in chains of a hash table of fixed size; nothing is
/// allocated after start. Engine thread only.
/// </summary>
/// <remarks>
/// The hash only says where to look. An entry is a hit if its hash, its tokens, its salt and its parent are the same. A parent is named by its
/// entry's serial number, which is never used again: if a parent is evicted and its block gets other content, its children are not found
/// under the new one. So by induction from the first block, whose parent is 0, a hit means equal tokens from the beginning.
/// </remarks>
internal sealed class PrefixIndex
{
    private const int None = 0; // the null block is never indexed

    private readonly PrefixHash _hash;
    private readonly int _blockSize;
    private readonly int[] _first; // of each hash bucket: the first block of its chain
    private readonly Entry[] _entries; // by block
    private readonly int[] _tokens; // [block count, block size]
    private readonly int _mask;
    private long _lastSerial;

    public PrefixIndex(int blockCount, int blockSize, UInt128 hashSeed)
    {
        _hash = new PrefixHash(hashSeed, blockSize);
        _blockSize = blockSize;
        _entries = new Entry[blockCount];
        _tokens = new int[checked(blockCount * blockSize)];
        _first = new int[checked((int)BitOperations.RoundUpToPowerOf2((uint)blockCount) * 2)];
        _mask = _first.Length - 1;
    }

    /// <summary>Entries.</summary>
    public int Count { get; private set; }

    /// <summary>Grows with every entry removed: what was found before may be gone.</summary>
    public long Version { get; private set; }

    /// <summary>The hash; tests forge collisions with its key.</summary>
    public PrefixHash Hash => _hash;

    /// <summary>Where every walk begins.</summary>
    public PrefixChain Root(UInt128 salt) => new(_hash.Root(salt), 0);

    /// <summary>Finds the block that continues a chain by one block of tokens.</summary>
    /// <param name="chain">The chain; afterwards it includes the block found, or if none was found it has the hash it would have with it.</param>
    /// <param name="salt">Salt of the chain.</param>
    /// <param name="tokens">One block of tokens.</param>
    /// <returns>The block, or 0.</returns>
    public int Find(ref PrefixChain chain, UInt128 salt, ReadOnlySpan<int> tokens)
    {
        UInt128 hash = _hash.Next(chain.Hash, tokens);
        for (int block = _first[Bucket(hash)]; block != None; block = _entries[block].Next)
        {
            ref readonly Entry entry = ref _entries[block];
            if (entry.Hash != hash || entry.Parent != chain.Serial || entry.Salt != salt || !tokens.SequenceEqual(TokensOf(block)))
                continue;
            chain = new PrefixChain(hash, entry.Serial);
            return block;
        }
        chain = chain with { Hash = hash };
        return None;
    }

    /// <summary>Makes a block the continuation of a chain. It has no entry, and <see cref="Find"/> has just found none.</summary>
    /// <param name="block">The block.</param>
    /// <param name="chain">As Find left it: the hash is the block's, the serial number its parent's. Afterwards it includes the block.</param>
    /// <param name="salt">Salt of the chain.</param>
    /// <param name="tokens">One block of tokens, which are kept.</param>
    public void Add(int block, ref PrefixChain chain, UInt128 salt, ReadOnlySpan<int> tokens)
    {
        ref Entry entry = ref _entries[block];
        if (entry.Serial != 0)
            throw new InvalidOperationException($"KV block {block} has an index entry already");
        tokens.CopyTo(TokensOf(block));
        ref int first = ref _first[Bucket(chain.Hash)];
        entry = new Entry { Hash = chain.Hash, Salt = salt, Parent = chain.Serial, Serial = ++_lastSerial, Next = first };
        first = block;
        Count++;
        chain = chain with { Serial = entry.Serial };
    }

    /// <summary>Forgets a block.</summary>
    public void Remove(int block)
    {
        ref Entry entry = ref _entries[block];
        if (entry.Serial == 0)
            throw new InvalidOperationException($"KV block {block} has no index entry");
        ref int link = ref _first[Bucket(entry.Hash)];
        while (link != block)
            link = ref _entries[link].Next;
        link = entry.Next;
        entry = default;
        Count--;
        Version++;
    }

    /// <summary>Forgets everything. O(block count).</summary>
    public void Clear()
    {
        Array.Clear(_first);
        Array.Clear(_entries);
        Count = 0;
        Version++;
    }

    /// <summary>Whether a block has an entry.</summary>
    public bool Contains(int block) => _entries[block].Serial != 0;

    /// <summary>Walks everything: each entry is in the chain of its hash, once, and counted.</summary>
    public void CheckInvariants()
    {
        int count = 0;
        for (int bucket = 0; bucket < _first.Length; bucket++)
            for (int block = _first[bucket]; block != None; block = _entries[block].Next)
                if (!Contains(block) || Bucket(_entries[block].Hash) != bucket || _entries[block].Parent >= _entries[block].Serial || ++count > Count)
                    throw new InvariantException($"prefix index: block {block} is in bucket {bucket} without reason, or the chain is a ring");
        if (count != Count)
            throw new InvariantException($"prefix index: the chains hold {count} entries, the count says {Count}");
    }

    private int Bucket(UInt128 hash) => (int)(ulong)hash & _mask;

    private Span<int> TokensOf(int block) => _tokens.AsSpan(block * _blockSize, _blockSize);

    /// <summary>64 bytes: one cache line.</summary>
    private struct Entry
    {
        public UInt128 Hash;
        public UInt128 Salt;
        public long Serial; // 0: no entry
        public long Parent; // serial number of the entry of the block before, 0 for a first block
        public int Next; // block in the same bucket
    }
}
