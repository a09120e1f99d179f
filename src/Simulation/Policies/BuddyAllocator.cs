using System.Numerics;

namespace NativeLM.Simulation.Policies;

/// <summary>
/// Chunks of powers of two out of one array of token slots, as the paper gives its Orca baselines (section 6.1). A chunk is cut in halves until it is
/// as small as what is asked for rounded up; a freed chunk joins its other half whenever that is free. The lowest address that fits is taken.
/// </summary>
internal sealed class BuddyAllocator
{
    private readonly SortedSet<int>[] _free; // by order: addresses of free chunks of 2^order slots

    public BuddyAllocator(int slots)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        Slots = FreeSlots = slots;
        _free = [.. Enumerable.Range(0, BitOperations.Log2((uint)slots) + 1).Select(static _ => new SortedSet<int>())];
        int address = 0;
        for (int order = _free.Length - 1; order >= 0; order--)
            if ((slots & (1 << order)) != 0)
            {
                _free[order].Add(address);
                address += 1 << order;
            }
    }

    /// <summary>Slots managed.</summary>
    public int Slots { get; }

    /// <summary>Slots in free chunks.</summary>
    public int FreeSlots { get; private set; }

    /// <summary>Slots of the chunk that holds this many.</summary>
    public static int ChunkFor(int slots) => (int)BitOperations.RoundUpToPowerOf2((uint)slots);

    /// <summary>Takes a chunk for at least this many slots. False, and nothing changed, if no free chunk is large enough.</summary>
    public bool TryTake(int slots, out int address)
    {
        int order = BitOperations.Log2((uint)ChunkFor(slots));
        int found = order;
        while (found < _free.Length && _free[found].Count == 0)
            found++;
        if (found >= _free.Length)
        {
            address = -1;
            return false;
        }
        address = _free[found].Min;
        _free[found].Remove(address);
        while (found > order)
            _free[--found].Add(address + (1 << found));
        FreeSlots -= 1 << order;
        return true;
    }

    /// <summary>Gives back a chunk that was taken for this many slots.</summary>
    public void Free(int address, int slots)
    {
        int order = BitOperations.Log2((uint)ChunkFor(slots));
        FreeSlots += 1 << order;
        while (order + 1 < _free.Length && _free[order].Remove(address ^ (1 << order)))
            address &= ~(1 << order++);
        if (!_free[order].Add(address))
            throw new InvalidOperationException($"the chunk at {address} of order {order} was freed twice");
    }
}
