using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// A device without a device. Like a real one it keeps what was written into each KV slot, on the device and on the host, and for each
/// slot of the batch the block table and the counts of tokens that it was told of; changes that it is not told of it does not see.
/// It does the work of a step when it is launched, which is all a step may depend on: blocks out, blocks in, copies, rows.
/// </summary>
internal sealed class SimulatedExecutor : IStepExecutor
{
    // What a failed row or step leaves behind. Like a NaN it spreads: what reads it fails as well.
    private const ulong Garbage = 0xDEADBEEFDEADBEEFUL;

    private readonly int _blockSize;
    private readonly int _vocabulary;
    private readonly ulong[] _device; // one entry per KV slot
    private readonly ulong[] _host;
    private readonly Slot[] _slots;
    private readonly StepResult[] _drawn;
    private readonly int[] _drawnCounts = new int[2];
    private readonly BeamCandidate[] _candidates = new BeamCandidate[StepResult.CandidatesMax];
    private int _launched;
    private int _collected;
    private ulong[] _attended; // of the rows of the step being launched

    public SimulatedExecutor(SchedulerLimits limits, int vocabulary)
    {
        _blockSize = limits.BlockSize;
        _vocabulary = vocabulary;
        _device = new ulong[limits.BlockCount * _blockSize];
        _host = new ulong[limits.HostBlockCount * _blockSize];
        _slots = [.. Enumerable.Range(0, limits.SequencesMax).Select(_ => new Slot(limits.BlockCount))];
        _drawn = [new StepResult(limits.SequencesMax), new StepResult(limits.SequencesMax)];
        _attended = new ulong[limits.SequencesMax];
    }

    /// <summary>Decides, while a step is launched, whether a row of it fails.</summary>
    public Func<Sequence, bool> Spoil { get; set; } = static _ => false;

    /// <summary>The next step launched leaves garbage behind and draws nothing.</summary>
    public bool FailNext { get; set; }

    public void Launch(StepPlan plan)
    {
        int side = _launched++ % 2;
        StepResult before = _drawn[1 - side], result = _drawn[side];
        bool failed = FailNext;
        FailNext = false;
        foreach (BlockSwap swap in plan.SwapOuts)
            Move(_device, swap.DeviceBlock, _host, swap.HostBlock, failed);
        foreach (BlockSwap swap in plan.SwapIns)
            Move(_host, swap.HostBlock, _device, swap.DeviceBlock, failed);
        foreach (BlockCopy copy in plan.Copies)
            Move(_device, copy.Source, _device, copy.Destination, failed);
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        result.Tokens[..rows.Length].Fill(new SampledToken { Token = -1 });
        for (int i = 0; i < rows.Length; i++)
        {
            LoadSlot(rows[i]);
            bool spoilt = failed || Spoil(rows[i].Sequence);
            int source = rows[i].TokenSource is int row ? before.Tokens[row].Token : -1;
            _attended[i] = rows[i].LogitsRow is int logits ? _attended[logits] : Compute(rows[i], source, spoilt);
            result.Tokens[i].Failed = spoilt || _attended[i] == Garbage;
            if (rows[i].Samples && !rows[i].IsBeam)
                result.Tokens[i].Token = Draw(rows[i].Sequence, _attended[i]);
        }
        for (int i = 0; i < plan.Beams.Length; i++)
            Search(plan, plan.Beams[i], result.Candidates(i), out result.BeamFailed(i), result);
        _drawnCounts[side] = rows.Length;
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        int side = _collected++ % 2;
        if (_drawnCounts[side] != plan.Sequences.Length)
            throw new InvalidOperationException($"a step of {plan.Sequences.Length} rows is collected, one of {_drawnCounts[side]} was launched");
        _drawn[side].Tokens[..plan.Sequences.Length].CopyTo(result.Tokens);
        for (int i = 0; i < plan.Beams.Length; i++)
        {
            _drawn[side].Candidates(i).CopyTo(result.Candidates(i));
            result.BeamFailed(i) = _drawn[side].BeamFailed(i);
        }
    }

    public void Dispose()
    {
    }

    /// <summary>What the device is told of a sequence's slot: all of it if the slot is new to it, else what changed in the table.</summary>
    private void LoadSlot(in ScheduledSequence row)
    {
        Sequence sequence = row.Sequence;
        Slot slot = _slots[sequence.Slot];
        if (row.IsNewInSlot)
        {
            slot.Owner = sequence;
            slot.Counts = 0;
            foreach (int token in sequence.Tokens[sequence.PromptCount..])
                slot.Counts += ToyModel.Count(token);
        }
        if (slot.Owner != sequence)
            throw new InvalidOperationException($"slot {sequence.Slot} belongs to another sequence than {sequence.Arrival}.{sequence.Index}");
        int from = row.IsNewInSlot ? 0 : sequence.Blocks.DirtyFrom;
        sequence.Blocks.Blocks[from..].CopyTo(slot.Table.AsSpan(from));
        sequence.Blocks.MarkClean();
    }

    /// <summary>Writes the tokens of a row and returns what its last token attends to.</summary>
    private ulong Compute(in ScheduledSequence row, int drawn, bool spoilt)
    {
        Sequence sequence = row.Sequence;
        int end = row.Start + row.Count, known = row.TokenSource is null ? end : end - 1;
        int[] table = _slots[sequence.Slot].Table;
        if (end > sequence.Blocks.Count * _blockSize)
            throw new InvalidOperationException($"sequence {sequence.Arrival}.{sequence.Index} has {sequence.Blocks.Count} blocks for {end} tokens");
        ulong written = row.Start == 0 ? 0 : _device[SlotOf(table, row.Start - 1)];
        for (int position = row.Start; position < end; position++)
        {
            int token = position < known ? sequence.Tokens[position] : drawn;
            written = spoilt || written == Garbage ? Garbage : ToyModel.Write(written, token, position);
            _device[SlotOf(table, position)] = written;
        }
        if (!row.Samples)
            return 0;
        ulong attended = 0;
        int first = 0;
        for (int block = 0; first < end; block++, first += _blockSize)
        {
            ReadOnlySpan<ulong> stored = _device.AsSpan(table[block] * _blockSize, Math.Min(_blockSize, end - first));
            if (stored.Contains(Garbage))
                return Garbage;
            for (int i = 0; i < stored.Length; i++)
                attended += ToyModel.Weigh(stored[i], first + i);
        }
        return attended;
    }

    private int Draw(Sequence sequence, ulong attended)
    {
        Slot slot = _slots[sequence.Slot];
        int token = ToyModel.Draw(attended, slot.Counts, sequence.Seed, _vocabulary);
        slot.Counts += ToyModel.Count(token);
        return token;
    }

    /// <summary>The best continuations over the beams of one request.</summary>
    private void Search(StepPlan plan, BeamRows beams, Span<BeamCandidate> best, out bool failed, StepResult result)
    {
        List<BeamCandidate> all = [];
        failed = false;
        for (int row = 0; row < beams.RowCount; row++)
        {
            Sequence beam = plan.Sequences[beams.FirstRow + row].Sequence;
            failed |= result.Tokens[beams.FirstRow + row].Failed;
            for (int k = 0; k < Math.Min(beams.CandidateCount, _vocabulary); k++)
            {
                (int token, float logprob) = ToyModel.Candidate(_attended[beams.FirstRow + row], k, _vocabulary);
                all.Add(new BeamCandidate(row, token, beam.Cumulative + logprob, logprob));
            }
        }
        best.Fill(new BeamCandidate(0, -1, 0, 0));
        all.OrderByDescending(candidate => candidate.Cumulative).Take(beams.CandidateCount).ToArray().CopyTo(best);
    }

    private void Move(ulong[] from, int source, ulong[] to, int destination, bool failed)
    {
        Span<ulong> target = to.AsSpan(destination * _blockSize, _blockSize);
        from.AsSpan(source * _blockSize, _blockSize).CopyTo(target);
        if (failed)
            target.Fill(Garbage);
    }

    private int SlotOf(int[] table, int position) => table[position / _blockSize] * _blockSize + position % _blockSize;

    /// <summary>What the device knows of a row of its batch.</summary>
    private sealed class Slot(int blocksMax)
    {
        public Sequence? Owner { get; set; }

        public int[] Table { get; } = new int[blocksMax];

        public ulong Counts { get; set; }
    }
}
