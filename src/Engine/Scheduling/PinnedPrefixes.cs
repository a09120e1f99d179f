using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>Prefixes that are registered by name, and the blocks that they keep in the pool. Engine thread only.</summary>
internal sealed class PinnedPrefixes(BlockManager blocks)
{
    private readonly List<PinnedPrefix> _pins = [];

    /// <summary>Those that are registered, computed or not.</summary>
    public IReadOnlyList<PinnedPrefix> All => _pins;

    /// <summary>Blocks that they keep or will keep.</summary>
    public int BlockCount { get; private set; }

    /// <summary>Takes a prefix whose request has been admitted: its blocks count from now on.</summary>
    public void Add(PinnedPrefix pin)
    {
        _pins.Add(pin);
        BlockCount += pin.BlockCount;
    }

    /// <summary>
    /// A registered prefix is computed: it keeps its full blocks. False, and forgotten, if there is nothing to keep: it was cancelled, it
    /// failed, or it was preempted while its last step was under way.
    /// </summary>
    public bool TryKeep(PinnedPrefix pin, SequenceGroup group, FinishReason reason)
    {
        bool keeps = reason is FinishReason.Stop or FinishReason.Length && group.State == GroupState.Running && _pins.Contains(pin);
        if (keeps)
            blocks.Fork(group.First.Blocks, pin.Table, pin.BlockCount);
        else
            Remove(pin);
        return keeps;
    }

    /// <summary>Lets one go; its blocks stay in the cache until others need the room. False if there is none of that name.</summary>
    public bool Release(string name)
    {
        int index = _pins.FindIndex(pin => pin.Name == name);
        if (index < 0)
            return false;
        Remove(_pins[index]);
        return true;
    }

    /// <summary>Lets all go.</summary>
    public void Clear()
    {
        while (_pins.Count > 0)
            Remove(_pins[^1]);
    }

    private void Remove(PinnedPrefix pin)
    {
        if (!_pins.Remove(pin))
            return;
        BlockCount -= pin.BlockCount;
        blocks.Free(pin.Table);
    }
}
