namespace NativeLM.Engine.Scheduling;

/// <summary>What a scheduler may hand out. Fixed when the engine starts.</summary>
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
}
