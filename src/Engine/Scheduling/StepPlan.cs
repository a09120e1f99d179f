using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>One sequence's share of a step: tokens [Start, Start + Count) of it are computed.</summary>
internal struct ScheduledSequence
{
    public Sequence Sequence;

    /// <summary>First token computed: the sequence's ComputedCount before the step was planned.</summary>
    public int Start;

    /// <summary>Tokens computed in this step, at least 1.</summary>
    public int Count;

    /// <summary>True if the last token computed is the sequence's last token, so the step draws the next one.</summary>
    public bool Samples;

    /// <summary>
    /// Null if every token is known. Otherwise the last one (the only one: Count is 1) is still in flight: it is what the step before
    /// draws in this row of its plan, and the device takes it from there.
    /// </summary>
    public int? TokenSource;

    /// <summary>True if the slot was just assigned: the executor loads the whole block table and rebuilds token counts.</summary>
    public bool IsNewInSlot;
}

/// <summary>Copy block Source to Destination (all layers) before the step.</summary>
internal readonly record struct BlockCopy(int Source, int Destination);

/// <summary>
/// What one step does: a mixed batch of prefill chunks and decodes plus block copies. Filled by the scheduler, read by the
/// executor, never resized after start. Engine thread only.
/// </summary>
internal sealed class StepPlan(int sequencesMax, int copiesMax)
{
    private readonly ScheduledSequence[] _sequences = new ScheduledSequence[sequencesMax];
    private readonly BlockCopy[] _copies = new BlockCopy[copiesMax];
    private int _sequenceCount;
    private int _copyCount;

    public ReadOnlySpan<ScheduledSequence> Sequences => _sequences.AsSpan(0, _sequenceCount);

    public ReadOnlySpan<BlockCopy> Copies => _copies.AsSpan(0, _copyCount);

    /// <summary>Tokens computed over all sequences.</summary>
    public int TokenCount { get; private set; }

    public bool IsEmpty => _sequenceCount == 0;

    public void Add(in ScheduledSequence scheduled)
    {
        _sequences[_sequenceCount++] = scheduled;
        TokenCount += scheduled.Count;
    }

    public void Add(BlockCopy copy) => _copies[_copyCount++] = copy;

    /// <summary>Empties the plan and drops its references.</summary>
    public void Clear()
    {
        Array.Clear(_sequences, 0, _sequenceCount);
        _sequenceCount = _copyCount = TokenCount = 0;
    }
}
