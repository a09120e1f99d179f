using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// What a step reads on the device, at fixed addresses: one pinned block is filled and uploaded by one copy. Block tables stay on the
/// device, one row per slot, and only what changed travels. The device side exists once, because steps run in order. The host side
/// exists twice: a side is filled again only when the step that used it is over, and one more may be on its way. Engine thread only.
/// </summary>
internal sealed unsafe class StepBuffers : IDisposable
{
    private readonly RunnerLimits _limits;
    private readonly int _blockCount;
    private readonly int _vocabulary;
    private readonly Layout _layout;
    private readonly PinnedBuffer[] _hostSides;
    private readonly PinnedBuffer[] _hostTableSides; // each with the layout of the device's tables
    private readonly DeviceBuffer _device;
    private readonly DeviceBuffer _deviceTables;
    private PinnedBuffer _host;
    private PinnedBuffer _hostTables;

    public StepBuffers(Device device, RunnerLimits limits, int blockCount, int vocabulary)
    {
        _limits = limits;
        _blockCount = blockCount;
        _vocabulary = vocabulary;
        _layout = new Layout(limits);
        _hostSides = [device.AllocatePinned(_layout.Bytes), device.AllocatePinned(_layout.Bytes)];
        _hostTableSides = [device.AllocatePinned(TableBytes(limits)), device.AllocatePinned(TableBytes(limits))];
        _device = device.Allocate(_layout.Bytes);
        _deviceTables = device.Allocate(TableBytes(limits));
        (_host, _hostTables) = (_hostSides[0], _hostTableSides[0]);
    }

    /// <summary>Bytes that a runner of these limits allocates here, on host and device together.</summary>
    public static long Bytes(RunnerLimits limits) => checked(3 * (new Layout(limits).Bytes + TableBytes(limits)));

    /// <summary>Device [tokens].</summary>
    public int* Ids => (int*)_device.At(_layout.Ids);

    /// <summary>Device [tokens]: row of the step before's results that gives the id, or -1.</summary>
    public int* TokenSources => (int*)_device.At(_layout.TokenSources);

    /// <summary>Device [tokens].</summary>
    public int* Positions => (int*)_device.At(_layout.Positions);

    /// <summary>Device [tokens]: slot numbers of the KV pool.</summary>
    public int* Slots => (int*)_device.At(_layout.Slots);

    /// <summary>Device [sequences + 1].</summary>
    public int* QueryStarts => (int*)_device.At(_layout.QueryStarts);

    /// <summary>Device [sequences].</summary>
    public int* Lengths => (int*)_device.At(_layout.Lengths);

    /// <summary>Device [sequences]: row of <see cref="BlockTables"/>.</summary>
    public int* TableRows => (int*)_device.At(_layout.TableRows);

    /// <summary>Device: tokens of this step. Zero before the first step.</summary>
    public int* TokenCount => (int*)_device.At(_layout.Counts);

    /// <summary>Device: sequences of this step.</summary>
    public int* SequenceCount => TokenCount + 1;

    /// <summary>Device [pieces]: rows of each piece of up to LogitRowsMax logit rows.</summary>
    public int* LogitRowCounts => TokenCount + 2;

    /// <summary>Device [logit rows]: which token row each row of logits comes from.</summary>
    public int* LogitIndices => (int*)_device.At(_layout.LogitIndices);

    /// <summary>Device [logit rows].</summary>
    public SampleRow* SampleRows => (SampleRow*)_device.At(_layout.SampleRows);

    /// <summary>Device [beam groups + 1]: first row of logits of each group of beams. Those of all groups are the step's first.</summary>
    public int* BeamStarts => (int*)_device.At(_layout.BeamStarts);

    /// <summary>Device [beams]: log-probability of each beam so far.</summary>
    public float* BeamScores => (float*)_device.At(_layout.BeamScores);

    /// <summary>Device [slots, BlocksPerSequence].</summary>
    public int* BlockTables => (int*)_deviceTables.Pointer;

    /// <summary>Host side of <see cref="LogitIndices"/>.</summary>
    public Span<int> HostLogitIndices => new(_host.At(_layout.LogitIndices), _limits.LogitRowsTotal);

    /// <summary>Host side of <see cref="SampleRows"/>.</summary>
    public Span<SampleRow> HostSampleRows => new(_host.At(_layout.SampleRows), _limits.LogitRowsTotal);

    /// <summary>Chooses the host side, 0 or 1, that is written and uploaded from now on. The step that used it last is over.</summary>
    public void UseSide(int side) => (_host, _hostTables) = (_hostSides[side], _hostTableSides[side]);

    /// <summary>
    /// Writes the plan's tokens and tables. Throws on a plan that would read or write outside the model's memory. <paramref name="drawnRows"/>
    /// has, for each row of the plan before, the row of the results where its token is. Returns the sequences that compute something.
    /// </summary>
    public int Fill(StepPlan plan, ReadOnlySpan<int> drawnRows, Ops ops)
    {
        Require(plan.TokenCount <= _limits.MaxBatchedTokens, "tokens in a step", plan.TokenCount, _limits.MaxBatchedTokens);
        Require(plan.Sequences.Length <= _limits.MaxSequences, "sequences in a step", plan.Sequences.Length, _limits.MaxSequences);
        int* starts = (int*)_host.At(_layout.QueryStarts), lengths = (int*)_host.At(_layout.Lengths), rows = (int*)_host.At(_layout.TableRows);
        int* sources = (int*)_host.At(_layout.TokenSources);
        new Span<int>(sources, plan.TokenCount).Fill(-1);
        int token = 0, count = 0;
        for (int s = 0; s < plan.Sequences.Length; s++)
        {
            ref readonly ScheduledSequence scheduled = ref plan.Sequences[s];
            UpdateTable(scheduled, ops);
            if (scheduled.Count == 0)
                continue; // it only draws
            starts[count] = token;
            lengths[count] = scheduled.Start + scheduled.Count;
            rows[count++] = scheduled.Sequence.Slot;
            FillTokens(scheduled, token);
            token += scheduled.Count;
            if (scheduled.TokenSource is int source)
                sources[token - 1] = drawnRows[source];
        }
        starts[count] = token;
        FillBeams(plan);
        return count;
    }

    /// <summary>One copy of everything that <see cref="Fill"/>, which returned the sequences, and the sampler wrote.</summary>
    public void Upload(StepPlan plan, int sequences, int logitRows, Ops ops)
    {
        int* counts = (int*)_host.At(_layout.Counts);
        (counts[0], counts[1]) = (plan.TokenCount, sequences);
        for (int piece = 0; piece < _limits.LogitPiecesMax; piece++)
            counts[2 + piece] = Math.Clamp(logitRows - (piece * _limits.LogitRowsMax), 0, _limits.LogitRowsMax);
        long bytes = _layout.SampleRows + (logitRows * (long)sizeof(SampleRow)); // sample rows are last, and many
        ops.Copy(_device.Pointer, _host.Pointer, bytes, CopyKind.ToDevice);
    }

    public void Dispose()
    {
        foreach (PinnedBuffer host in (ReadOnlySpan<PinnedBuffer>)[.. _hostSides, .. _hostTableSides])
            host.Dispose();
        _device.Dispose();
        _deviceTables.Dispose();
    }

    private void FillBeams(StepPlan plan)
    {
        Require(plan.Beams.Length <= _limits.BeamGroupsMax, "requests with beams in a step", plan.Beams.Length, _limits.BeamGroupsMax);
        int* starts = (int*)_host.At(_layout.BeamStarts);
        float* scores = (float*)_host.At(_layout.BeamScores);
        int row = 0;
        for (int i = 0; i < plan.Beams.Length; i++)
        {
            starts[i] = row;
            Require(row + plan.Beams[i].RowCount <= _limits.MaxSequences, "beams in a step", row + plan.Beams[i].RowCount, _limits.MaxSequences);
            foreach (ref readonly ScheduledSequence beam in plan.Sequences.Slice(plan.Beams[i].FirstRow, plan.Beams[i].RowCount))
                scores[row++] = beam.Sequence.Cumulative;
        }
        starts[plan.Beams.Length] = row;
    }

    private void FillTokens(in ScheduledSequence scheduled, int row)
    {
        Sequence sequence = scheduled.Sequence;
        int end = scheduled.Start + scheduled.Count, blockSize = _limits.BlockSize;
        int known = scheduled.TokenSource is null ? end : scheduled.Start; // a token in flight is alone in its row of the plan
        Require(scheduled.Start >= 0 && scheduled.Count > 0 && known <= sequence.TokenCount, "last token of a chunk", known, sequence.TokenCount);
        Require(scheduled.TokenSource is null || scheduled.Count == 1, "tokens beside one in flight", scheduled.Count, 1);
        Require(end <= sequence.Blocks.Count * blockSize, "tokens in the blocks of a sequence", end, sequence.Blocks.Count * blockSize);
        int* ids = (int*)_host.At(_layout.Ids) + row;
        int* positions = (int*)_host.At(_layout.Positions) + row, slots = (int*)_host.At(_layout.Slots) + row;
        ReadOnlySpan<int> tokens = sequence.Tokens[scheduled.Start..known], blocks = sequence.Blocks.Blocks;
        for (int i = 0; i < scheduled.Count; i++)
        {
            int id = i < tokens.Length ? tokens[i] : 0;
            Require((uint)id < (uint)_vocabulary, "token id", id, _vocabulary - 1);
            int position = scheduled.Start + i;
            ids[i] = id;
            positions[i] = position;
            slots[i] = (blocks[position / blockSize] * blockSize) + (position % blockSize);
        }
    }

    private void UpdateTable(in ScheduledSequence scheduled, Ops ops)
    {
        Sequence sequence = scheduled.Sequence;
        int stride = _limits.BlocksPerSequence;
        Require((uint)sequence.Slot < (uint)_limits.MaxSequences, "slot", sequence.Slot, _limits.MaxSequences - 1);
        int from = scheduled.IsNewInSlot ? 0 : sequence.Blocks.DirtyFrom;
        ReadOnlySpan<int> changed = sequence.Blocks.Blocks[from..];
        if (changed.IsEmpty)
            return;
        Require(from + changed.Length <= stride, "blocks of a sequence", from + changed.Length, stride);
        foreach (int block in changed)
            Require(block > 0 && block < _blockCount, "block id", block, _blockCount - 1);
        long offset = sizeof(int) * (((long)sequence.Slot * stride) + from);
        changed.CopyTo(new Span<int>(_hostTables.At(offset), changed.Length));
        ops.Copy(_deviceTables.At(offset), _hostTables.At(offset), changed.Length * (long)sizeof(int), CopyKind.ToDevice);
        sequence.Blocks.MarkClean();
    }

    private static long TableBytes(RunnerLimits limits) => checked((long)limits.MaxSequences * limits.BlocksPerSequence * sizeof(int));

    // A plan out of range is a bug of the scheduler; it must not become a write outside the pool.
    private static void Require(bool ok, string what, int found, int max)
    {
        if (!ok)
            throw new InvalidOperationException($"step plan: {what}: found {found}, needed at most {max}");
    }

    private sealed class Layout
    {
        private readonly ArenaLayout _arena = new();

        public Layout(RunnerLimits limits)
        {
            int tokens = limits.MaxBatchedTokens, sequences = limits.MaxSequences;
            Counts = _arena.Add(2 + limits.LogitPiecesMax, 1, sizeof(int));
            Ids = _arena.Add(tokens, 1, sizeof(int));
            TokenSources = _arena.Add(tokens, 1, sizeof(int));
            Positions = _arena.Add(tokens, 1, sizeof(int));
            Slots = _arena.Add(tokens, 1, sizeof(int));
            QueryStarts = _arena.Add(sequences + 1, 1, sizeof(int));
            Lengths = _arena.Add(sequences, 1, sizeof(int));
            TableRows = _arena.Add(sequences, 1, sizeof(int));
            BeamStarts = _arena.Add(limits.BeamGroupsMax + 1, 1, sizeof(int));
            BeamScores = _arena.Add(sequences, 1, sizeof(float));
            LogitIndices = _arena.Add(limits.LogitRowsTotal, 1, sizeof(int));
            SampleRows = _arena.Add(limits.LogitRowsTotal, 1, sizeof(SampleRow));
        }

        public long Bytes => _arena.Bytes;

        public long Counts { get; }

        public long Ids { get; }

        public long TokenSources { get; }

        public long Positions { get; }

        public long Slots { get; }

        public long QueryStarts { get; }

        public long Lengths { get; }

        public long TableRows { get; }

        public long BeamStarts { get; }

        public long BeamScores { get; }

        public long LogitIndices { get; }

        public long SampleRows { get; }
    }
}
