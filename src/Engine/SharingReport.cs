namespace NativeLM.Engine;

/// <summary>
/// What sharing of KV blocks did for one request (the paper's section 6.3 and figure 15). Sums run over the steps in which it ran:
/// a block held for ten steps counts ten times.
/// </summary>
public sealed record SharingReport
{
    /// <summary>Entries of the block tables of its sequences, summed over steps: what it would hold without sharing.</summary>
    public long LogicalBlocks { get; init; }

    /// <summary>Different blocks in those tables, summed over steps: what it held.</summary>
    public long PhysicalBlocks { get; init; }

    /// <summary>Share of blocks saved, 0 to 1.</summary>
    public double SavedShare => LogicalBlocks == 0 ? 0 : 1 - ((double)PhysicalBlocks / LogicalBlocks);

    /// <summary>Most different blocks held at once.</summary>
    public int BlocksUsedMax { get; init; }

    /// <summary>Blocks of the prompt that were in the prefix cache when it first ran.</summary>
    public int PromptBlocksFromCache { get; init; }

    /// <summary>Blocks copied because a sequence wrote into one that it shared.</summary>
    public int CopiesOnWrite { get; init; }

    /// <summary>Times its blocks were dropped, to be computed again.</summary>
    public int PreemptionsByRecompute { get; init; }

    /// <summary>Times its blocks moved to host memory.</summary>
    public int PreemptionsBySwap { get; init; }

    /// <summary>Bytes moved to host memory and back.</summary>
    public long BytesSwapped { get; init; }

    /// <summary>Tokens whose K and V were dropped.</summary>
    public long TokensRecomputed { get; init; }
}
