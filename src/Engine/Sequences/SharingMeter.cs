namespace NativeLM.Engine.Sequences;

/// <summary>Counts for one request what sharing saves and what preemption cost. Engine thread only.</summary>
internal sealed class SharingMeter
{
    public long LogicalBlocks { get; set; }

    public long PhysicalBlocks { get; set; }

    public int BlocksUsedMax { get; set; }

    public int PromptBlocksFromCache { get; set; }

    public int CopiesOnWrite { get; set; }

    public int PreemptionsByRecompute { get; set; }

    public int PreemptionsBySwap { get; set; }

    public long BlocksSwapped { get; set; }

    public long TokensRecomputed { get; set; }

    /// <summary>Adds one step in which it held this many blocks.</summary>
    public void CountStep(int logical, int physical)
    {
        LogicalBlocks += logical;
        PhysicalBlocks += physical;
        BlocksUsedMax = Math.Max(BlocksUsedMax, physical);
    }

    /// <summary>The figures so far.</summary>
    /// <param name="blockBytes">Bytes of one block over all layers.</param>
    public SharingReport Report(long blockBytes) => new()
    {
        LogicalBlocks = LogicalBlocks,
        PhysicalBlocks = PhysicalBlocks,
        BlocksUsedMax = BlocksUsedMax,
        PromptBlocksFromCache = PromptBlocksFromCache,
        CopiesOnWrite = CopiesOnWrite,
        PreemptionsByRecompute = PreemptionsByRecompute,
        PreemptionsBySwap = PreemptionsBySwap,
        BytesSwapped = BlocksSwapped * blockBytes,
        TokensRecomputed = TokensRecomputed,
    };
}
