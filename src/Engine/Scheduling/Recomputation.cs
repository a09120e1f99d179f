using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// How a request with several sequences is recomputed: what they have in common is computed once, by the first of them that has it, and the
/// others begin with its full blocks. So a request holds no more blocks after a preemption than it can ever need. Engine thread only.
/// </summary>
internal static class Recomputation
{
    /// <summary>Tokens that dropping a request's blocks would have to compute again; what its sequences share counts once.</summary>
    public static long Tokens(SequenceGroup group)
    {
        ReadOnlySpan<Sequence> live = group.Live;
        long tokens = live[0].ComputedCount;
        for (int i = 1; i < live.Length; i++)
            tokens += Math.Max(0, live[i].ComputedCount - live[i].Tokens.CommonPrefixLength(live[0].Tokens));
        return tokens;
    }

    /// <summary>Whether a sequence of the request begins with blocks that another was to compute and has not.</summary>
    public static bool DependsOn(SequenceGroup group, Sequence other)
    {
        foreach (Sequence sequence in group.Live)
            if (sequence.Source == other)
                return true;
        return false;
    }

    /// <summary>True if a sequence has more to compute than the last token of all, which several compute together, as decodes.</summary>
    public static bool IsUnderWay(SequenceGroup group)
    {
        foreach (Sequence sequence in group.Live)
            if (sequence.PendingCount > 1)
                return true;
        return group.Live.Length == 1;
    }

    /// <summary>Gives all sequences the blocks of all their tokens, or changes nothing if more are needed than are free above a margin.</summary>
    public static bool TryReserve(SequenceGroup group, BlockManager blocks, int margin)
    {
        ReadOnlySpan<Sequence> live = group.Live;
        long needed = 0;
        for (int i = 0; i < live.Length; i++)
            needed += KvDemand.Blocks(live[i].ExpectedCount, blocks.BlockSize) - FindSource(live, i, blocks.BlockSize);
        if (needed > blocks.Pool.FreeCount - margin)
        {
            foreach (Sequence sequence in live)
                (sequence.Source, sequence.ComputedCount) = (null, 0);
            return false;
        }
        foreach (Sequence sequence in live)
        {
            if (sequence.Source is not null)
                blocks.Fork(sequence.Source.Blocks, sequence.Blocks, sequence.ComputedCount / blocks.BlockSize);
            if (!blocks.TryGrow(sequence.Blocks, sequence.ExpectedCount, margin: 0))
                throw new InvariantException($"request {group.Arrival} counted {needed} KV blocks to recompute and needs more");
        }
        return true;
    }

    /// <summary>
    /// The sequence before this one with the longest common beginning, in full blocks, becomes its source; it starts behind that. At least
    /// its last token is computed: it is drawn from. Returns the number of those blocks.
    /// </summary>
    private static int FindSource(ReadOnlySpan<Sequence> live, int index, int blockSize)
    {
        Sequence sequence = live[index];
        int longest = 0;
        sequence.Source = null;
        for (int i = 0; i < index; i++)
        {
            int common = Math.Min(sequence.Tokens.CommonPrefixLength(live[i].Tokens), sequence.ExpectedCount - 1) / blockSize;
            if (common <= longest)
                continue;
            longest = common;
            sequence.Source = live[i];
        }
        sequence.ComputedCount = longest * blockSize;
        return longest;
    }
}
