using System.Numerics;

namespace NativeLM.Engine.Tokenization;

/// <summary>Which pairs of tokens merge, into what, and how early (rank 0 first). Immutable once built; any thread.</summary>
internal sealed class MergeTable
{
    /// <summary>Rank of a pair that never merges.</summary>
    public const int Never = int.MaxValue;

    private readonly ulong[] _keys; // left << 32 | right, plus one so that 0 means free
    private readonly (int Rank, int Id)[] _values;
    private readonly int _shift;

    /// <summary>Room for <paramref name="count"/> merges.</summary>
    public MergeTable(int count)
    {
        int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, checked(count * 2)));
        _keys = new ulong[capacity];
        _values = new (int, int)[capacity];
        _shift = 64 - BitOperations.Log2((uint)capacity);
    }

    /// <summary>Adds a merge; a pair already present keeps its first rank.</summary>
    public void Add(int left, int right, int rank, int id)
    {
        int slot = FindSlot(Key(left, right));
        if (_keys[slot] != 0)
            return;
        _keys[slot] = Key(left, right);
        _values[slot] = (rank, id);
    }

    /// <summary>Rank and result of a pair; rank <see cref="Never"/> when it does not merge.</summary>
    public (int Rank, int Id) Find(int left, int right)
    {
        int slot = FindSlot(Key(left, right));
        return _keys[slot] == 0 ? (Never, -1) : _values[slot];
    }

    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32 | (uint)right) + 1;

    private int FindSlot(ulong key)
    {
        int slot = (int)(key * 0x9E3779B97F4A7C15 >> _shift);
        while (_keys[slot] != 0 && _keys[slot] != key)
            slot = slot + 1 == _keys.Length ? 0 : slot + 1;
        return slot;
    }
}
