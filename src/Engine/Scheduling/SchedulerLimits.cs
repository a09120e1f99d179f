namespace NativeLM.Engine.Scheduling;

/// <summary>How many KV blocks a request gets when it starts.</summary>
internal enum Reservation
{
    /// <summary>Those of its tokens; more come as it grows (the paper's design).</summary>
    None,
    /// <summary>Those of its output limit: what a system does that must hold a request in one piece and knows its length (Orca Oracle, section 6.1).</summary>
    Oracle,
    /// <summary>Those of the next power of two of its output limit (Orca Pow2).</summary>
    Pow2,
    /// <summary>Those of a full context (Orca Max).</summary>
    Max,
}

/// <summary>What a scheduler may hand out, and by which rules. Fixed when the engine starts.</summary>
internal sealed record SchedulerLimits
{
    /// <summary>KV blocks of the pool, the null block included.</summary>
    public required int BlockCount { get; init; }

    /// <summary>Token slots of a block.</summary>
    public required int BlockSize { get; init; }

    /// <summary>Most sequences in a step.</summary>
    public required int SequencesMax { get; init; }

    /// <summary>Most tokens in a step: at least <see cref="SequencesMax"/>, so that every decode always has its token.</summary>
    public required int TokensMax { get; init; }

    /// <summary>Blocks of the host pool, for swapping.</summary>
    public int HostBlockCount { get; init; }

    /// <summary>Keeps blocks of finished requests for others that begin alike.</summary>
    public bool PrefixCaching { get; init; }

    /// <summary>Seed of the hash under which prefixes are found.</summary>
    public UInt128 PrefixHashSeed { get; init; } = 1;

    /// <summary>How requests are preempted.</summary>
    public PreemptionMode PreemptionMode { get; init; }

    /// <summary>What the two ways cost here; null: recomputing is taken to be cheaper.</summary>
    public PreemptionCosts? Costs { get; init; }

    /// <summary>How often a waiting request that does not fit may be overtaken.</summary>
    public int OvertakesMax { get; init; } = 16;

    /// <summary>Share of the pool that a starting request leaves free for the growth of others.</summary>
    public double Watermark { get; init; } = 0.01;

    /// <summary>A step computes prompts or decodes, not both: the paper's scheduler. Otherwise both share a step.</summary>
    public bool SeparatesPrefills { get; init; }

    /// <summary>A prompt may be computed in pieces over several steps. Otherwise it must fit a step.</summary>
    public bool ChunksPrefills { get; init; } = true;

    /// <summary>Blocks that are taken when a request starts. Anything but None is a baseline to compare with.</summary>
    public Reservation Reservation { get; init; }

    /// <summary>Tokens of a full context, for <see cref="Reservation.Max"/>.</summary>
    public int ContextMax { get; init; }
}
