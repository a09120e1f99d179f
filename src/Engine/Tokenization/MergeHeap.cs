using System.Buffers;

namespace NativeLM.Engine.Tokenization;

/// <summary>A 4-ary min-heap of (rank, position), lowest rank first, then leftmost. Pooled; dispose once.</summary>
internal struct MergeHeap(int capacity) : IDisposable
{
    private ulong[] _items = ArrayPool<ulong>.Shared.Rent(Math.Max(16, capacity));
    private int _count;

    /// <summary>Adds an entry without restoring order; call <see cref="Heapify"/> before the first pop.</summary>
    public void Append(int rank, int position)
    {
        if (_count == _items.Length)
            Grow();
        _items[_count++] = (ulong)(uint)rank << 32 | (uint)position;
    }

    /// <summary>Restores order after a series of <see cref="Append"/>.</summary>
    public readonly void Heapify()
    {
        for (int i = (_count - 2) / 4; i >= 0; i--)
            SiftDown(i, _items[i]);
    }

    /// <summary>Adds an entry in order.</summary>
    public void Push(int rank, int position)
    {
        if (_count == _items.Length)
            Grow();
        ulong item = (ulong)(uint)rank << 32 | (uint)position;
        int at = _count++;
        while (at > 0 && _items[(at - 1) / 4] > item)
        {
            _items[at] = _items[(at - 1) / 4];
            at = (at - 1) / 4;
        }
        _items[at] = item;
    }

    /// <summary>Takes the smallest entry; false when empty.</summary>
    public bool TryPop(out int rank, out int position)
    {
        if (_count == 0)
        {
            rank = position = -1;
            return false;
        }
        ulong top = _items[0];
        rank = (int)(top >> 32);
        position = (int)(uint)top;
        ulong last = _items[--_count];
        if (_count > 0)
            SiftDown(0, last);
        return true;
    }

    public readonly void Dispose() => ArrayPool<ulong>.Shared.Return(_items);

    private readonly void SiftDown(int at, ulong item)
    {
        for (int child = 4 * at + 1; child < _count; child = 4 * at + 1)
        {
            int smallest = child;
            for (int i = child + 1; i < Math.Min(child + 4, _count); i++)
                if (_items[i] < _items[smallest])
                    smallest = i;
            if (_items[smallest] >= item)
                break;
            _items[at] = _items[smallest];
            at = smallest;
        }
        _items[at] = item;
    }

    private void Grow()
    {
        ulong[] larger = ArrayPool<ulong>.Shared.Rent(checked(_items.Length * 2));
        _items.CopyTo(larger, 0);
        ArrayPool<ulong>.Shared.Return(_items);
        _items = larger;
    }
}
