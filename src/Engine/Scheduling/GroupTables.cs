using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>The block tables of one request side by side, as the block manager takes them. Reused; engine thread only.</summary>
/// <param name="blockCount">Blocks of the pool.</param>
internal sealed class GroupTables(int blockCount)
{
    private readonly BlockTable[] _tables = new BlockTable[SamplingParams.WidthMax];
    private readonly int[] _positions = new int[SamplingParams.WidthMax];
    private readonly int[] _seen = new int[blockCount];
    private int _count;
    private int _mark;

    public ReadOnlySpan<BlockTable> Tables => _tables.AsSpan(0, _count);

    /// <summary>The position that each sequence writes next.</summary>
    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, _count);

    /// <summary>Takes the tables of a request's sequences.</summary>
    public void Load(SequenceGroup group)
    {
        _count = 0;
        foreach (Sequence sequence in group.Live)
        {
            _tables[_count] = sequence.Blocks;
            _positions[_count++] = sequence.ComputedCount;
        }
    }

    /// <summary>Entries of all tables.</summary>
    public int LogicalCount()
    {
        int count = 0;
        foreach (BlockTable table in Tables)
            count += table.Count;
        return count;
    }

    /// <summary>Different blocks in all tables.</summary>
    public int DistinctCount()
    {
        if (_count == 1)
            return _tables[0].Count;
        int count = 0;
        _mark++;
        foreach (BlockTable table in Tables)
            foreach (int block in table.Blocks)
                if (_seen[block] != _mark)
                {
                    _seen[block] = _mark;
                    count++;
                }
        return count;
    }
}
