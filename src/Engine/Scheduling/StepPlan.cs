using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>One sequence's share of a step: tokens [Start, Start + Count) of it are computed.</summary>
internal struct ScheduledSequence
{
    public Sequence Sequence;

    /// <summary>First token computed: the sequence's ComputedCount before the step was planned.</summary>
    public int Start;

    /// <summary>
    /// Tokens computed in this step. 0 for a fork made while the step was planned: it computes nothing and draws from the logits of
    /// the row it was forked from, <see cref="LogitsRow"/>.
    /// </summary>
    public int Count;

    /// <summary>True if the last token computed is the sequence's last token, so the step draws the next one.</summary>
    public bool Samples;

    /// <summary>Row of this plan, before this one, whose last token's logits it draws from; null: its own. Set for forks (Count 0).</summary>
    public int? LogitsRow;

    /// <summary>
    /// Null if every token is known. Otherwise the last one (the only one: Count is 1) is still in flight: it is what the step before
    /// draws in this row of its plan, and the device takes it from there.
    /// </summary>
    public int? TokenSource;

    /// <summary>True if the slot was just assigned or its owner changed: the executor loads the whole block table and rebuilds token counts.</summary>
    public bool IsNewInSlot;

    /// <summary>True for a beam: the step does not draw for it alone, it is part of an entry of <see cref="StepPlan.Beams"/>.</summary>
    public bool IsBeam;
}

/// <summary>Copy block Source to Destination (all layers) before the step.</summary>
internal readonly record struct BlockCopy(int Source, int Destination);

/// <summary>Move a block (all layers) between the KV pool and the host pool before the step.</summary>
internal readonly record struct BlockSwap(int DeviceBlock, int HostBlock);

/// <summary>
/// The beams of one request in a step: rows [FirstRow, FirstRow + RowCount) of the plan, best first. The step finds the best
/// CandidateCount continuations over all of them.
/// </summary>
internal readonly record struct BeamRows(int FirstRow, int RowCount, int CandidateCount);

/// <summary>
/// What one step does, in this order: blocks to the host, blocks from the host, copies of blocks, then a mixed batch of prefill chunks
/// and decodes. Filled by the scheduler, read by the executor, never resized after start. Engine thread only.
/// </summary>
internal sealed class StepPlan(int sequencesMax, int copiesMax, int swapsMax = 0)
{
    private readonly ScheduledSequence[] _sequences = new ScheduledSequence[sequencesMax];
    private readonly BlockCopy[] _copies = new BlockCopy[copiesMax];
    private readonly BlockSwap[] _swapOuts = new BlockSwap[swapsMax];
    private readonly BlockSwap[] _swapIns = new BlockSwap[swapsMax];
    private readonly BeamRows[] _beams = new BeamRows[sequencesMax];
    private int _sequenceCount;
    private int _copyCount;
    private int _swapOutCount;
    private int _swapInCount;
    private int _beamCount;

    public ReadOnlySpan<ScheduledSequence> Sequences => _sequences.AsSpan(0, _sequenceCount);

    public ReadOnlySpan<BlockCopy> Copies => _copies.AsSpan(0, _copyCount);

    public ReadOnlySpan<BlockSwap> SwapOuts => _swapOuts.AsSpan(0, _swapOutCount);

    public ReadOnlySpan<BlockSwap> SwapIns => _swapIns.AsSpan(0, _swapInCount);

    public ReadOnlySpan<BeamRows> Beams => _beams.AsSpan(0, _beamCount);

    /// <summary>Requests whose blocks the step moves to the host: if it fails, what they held is lost.</summary>
    public List<SequenceGroup> SwappedOut { get; } = [];

    /// <summary>Tokens computed over all sequences.</summary>
    public int TokenCount { get; private set; }

    /// <summary>True if nothing is computed. Blocks may still move: a plan that only swaps is not run by itself.</summary>
    public bool IsEmpty => _sequenceCount == 0;

    public void Add(in ScheduledSequence scheduled)
    {
        _sequences[_sequenceCount++] = scheduled;
        TokenCount += scheduled.Count;
    }

    public void Add(BlockCopy copy) => _copies[_copyCount++] = copy;

    public void Add(BeamRows beams) => _beams[_beamCount++] = beams;

    public void AddSwapOut(BlockSwap swap) => _swapOuts[_swapOutCount++] = swap;

    public void AddSwapIn(BlockSwap swap) => _swapIns[_swapInCount++] = swap;

    /// <summary>Empties the plan and drops its references.</summary>
    public void Clear()
    {
        Array.Clear(_sequences, 0, _sequenceCount);
        SwappedOut.Clear();
        _sequenceCount = _copyCount = _swapOutCount = _swapInCount = _beamCount = TokenCount = 0;
    }
}
