using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace NativeLM.Engine.Tokenization;

/// <summary>Byte strings numbered by token id, in one array, with a hash index from bytes to id. Immutable once built; any thread.</summary>
internal sealed class TokenTable
{
    private readonly byte[] _bytes;
    private readonly int[] _starts; // [Count + 1]
    private int[] _slots = [];      // id + 1, or 0
    private int _mask;

    private TokenTable(byte[] bytes, int[] starts)
    {
        _bytes = bytes;
        _starts = starts;
    }

    /// <summary>Number of ids.</summary>
    public int Count => _starts.Length - 1;

    /// <summary>Length of the longest entry in the index, in bytes.</summary>
    public int LongestIndexed { get; private set; }

    /// <summary>The bytes of an id; empty for an id without text.</summary>
    public ReadOnlySpan<byte> this[int id] => _bytes.AsSpan(_starts[id].._starts[id + 1]);

    /// <summary>The same bytes as memory that outlives the call.</summary>
    public ReadOnlyMemory<byte> Memory(int id) => _bytes.AsMemory(_starts[id].._starts[id + 1]);

    /// <summary>Copies <paramref name="texts"/> (null: no text) into one table; nothing is indexed yet.</summary>
    public static TokenTable Build(IReadOnlyList<byte[]?> texts)
    {
        var starts = new int[texts.Count + 1];
        for (int id = 0; id < texts.Count; id++)
            starts[id + 1] = checked(starts[id] + (texts[id]?.Length ?? 0));
        var bytes = new byte[starts[^1]];
        for (int id = 0; id < texts.Count; id++)
            texts[id]?.CopyTo(bytes, starts[id]);
        return new TokenTable(bytes, starts);
    }

    /// <summary>Indexes the ids for which <paramref name="include"/> holds. Of equal entries the first wins; the loser's id is reported.</summary>
    public void Index(Func<int, bool> include, Action<int, int>? onDuplicate = null)
    {
        int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, checked(Count * 2)));
        _slots = new int[capacity];
        _mask = capacity - 1;
        for (int id = 0; id < Count; id++)
        {
            ReadOnlySpan<byte> key = this[id];
            if (key.IsEmpty || !include(id))
                continue;
            int slot = (int)Hash(key) & _mask;
            while (_slots[slot] != 0 && !this[_slots[slot] - 1].SequenceEqual(key))
                slot = (slot + 1) & _mask;
            if (_slots[slot] != 0)
            {
                onDuplicate?.Invoke(_slots[slot] - 1, id);
                continue;
            }
            _slots[slot] = id + 1;
            LongestIndexed = Math.Max(LongestIndexed, key.Length);
        }
    }

    /// <summary>The indexed id with exactly these bytes, or -1.</summary>
    public int Find(ReadOnlySpan<byte> key)
    {
        if ((uint)(key.Length - 1) >= (uint)LongestIndexed)
            return -1;
        for (int slot = (int)Hash(key) & _mask; ; slot = (slot + 1) & _mask)
        {
            int id = _slots[slot] - 1;
            if (id < 0 || this[id].SequenceEqual(key))
                return id;
        }
    }

    private static uint Hash(ReadOnlySpan<byte> key)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15;
        ulong hash = (ulong)key.Length * Multiplier;
        while (key.Length >= 8)
        {
            hash = BitOperations.RotateLeft(hash ^ MemoryMarshal.Read<ulong>(key), 29) * Multiplier;
            key = key[8..];
        }
        ulong tail = key.Length >= 4
            ? BinaryPrimitives.ReadUInt32LittleEndian(key) | (ulong)BinaryPrimitives.ReadUInt32LittleEndian(key[^4..]) << 32
            : key.Length > 0 ? (uint)(key[0] | key[key.Length >> 1] << 8 | key[^1] << 16) : 0;
        hash = (hash ^ tail) * Multiplier;
        return (uint)((hash ^ (hash >> 29)) * Multiplier >> 32);
    }
}
