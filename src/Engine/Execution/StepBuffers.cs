using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// What a step reads on the device, at fixed addresses: one pinned block is filled and uploaded by one copy. Block tables stay on the
/// device, one row per slot, and only what changed travels. Engine thread only.
/// </summary>
internal sealed unsafe class StepBuffers : IDisposable
{
    private readonly RunnerLimits _limits;
    private readonly int _blockCount;
    private readonly int _vocabulary;
    private readonly Layout _layout;
    private readonly PinnedBuffer _host;
    private readonly DeviceBuffer _device;
    private readonly PinnedBuffer _hostTables;
    private readonly DeviceBuffer _deviceTables;

    public StepBuffers(Device device, RunnerLimits limits, int blockCount, int vocabulary)
    {
        _limits = limits;
        _blockCount = blockCount;
        _vocabulary = vocabulary;
        _layout = new Layout(limits);
        _host = device.AllocatePinned(_layout.Bytes);
        _device = device.Allocate(_layout.Bytes);
        _hostTables = device.AllocatePinned(TableBytes(limits));
        _deviceTables = device.Allocate(TableBytes(limits));
    }

    /// <summary>Bytes that a runner of these limits allocates here, on host and device together.</summary>
    public static long Bytes(RunnerLimits limits) => checked(2 * (new Layout(limits).Bytes + TableBytes(limits)));

    /// <summary>Device [tokens].</summary>
    public int* Ids => (int*)_device.At(_layout.Ids);

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

    /// <summary>Device [logit rows]: which token row each row of logits comes from.</summary>
    public int* LogitIndices => (int*)_device.At(_layout.LogitIndices);

    /// <summary>Device [logit rows].</summary>
    public SampleRow* SampleRows => (SampleRow*)_device.At(_layout.SampleRows);

    /// <summary>Device [slots, BlocksPerSequence].</summary>
    public int* BlockTables => (int*)_deviceTables.Pointer;

    /// <summary>Host side of <see cref="LogitIndices"/>.</summary>
    public Span<int> HostLogitIndices => new(_host.At(_layout.LogitIndices), _limits.MaxBatchedTokens);

    /// <summary>Host side of <see cref="SampleRows"/>.</summary>
    public Span<SampleRow> HostSampleRows => new(_host.At(_layout.SampleRows), _limits.MaxBatchedTokens);

    /// <summary>Writes the plan's tokens and tables. Throws on a plan that would read or write outside the model's memory.</summary>
    public void Fill(StepPlan plan, Ops ops)
    {
        Require(plan.TokenCount <= _limits.MaxBatchedTokens, "tokens in a step", plan.TokenCount, _limits.MaxBatchedTokens);
        Require(plan.Sequences.Length <= _limits.MaxSequences, "sequences in a step", plan.Sequences.Length, _limits.MaxSequences);
        int* starts = (int*)_host.At(_layout.QueryStarts), lengths = (int*)_host.At(_layout.Lengths), rows = (int*)_host.At(_layout.TableRows);
        int token = 0;
        for (int s = 0; s < plan.Sequences.Length; s++)
        {
            ref readonly ScheduledSequence scheduled = ref plan.Sequences[s];
            UpdateTable(scheduled, ops);
            starts[s] = token;
            lengths[s] = scheduled.Start + scheduled.Count;
            rows[s] = scheduled.Sequence.Slot;
            FillTokens(scheduled, token);
            token += scheduled.Count;
        }
        starts[plan.Sequences.Length] = token;
    }

    /// <summary>One copy of everything that <see cref="Fill"/> and the sampler wrote.</summary>
    public void Upload(Ops ops) => ops.Copy(_device.Pointer, _host.Pointer, _layout.Bytes, CopyKind.ToDevice);

    public void Dispose()
    {
        _host.Dispose();
        _device.Dispose();
        _hostTables.Dispose();
        _deviceTables.Dispose();
    }

    private void FillTokens(in ScheduledSequence scheduled, int row)
    {
        Sequence sequence = scheduled.Sequence;
        int end = scheduled.Start + scheduled.Count, blockSize = _limits.BlockSize;
        Require(scheduled.Start >= 0 && scheduled.Count > 0 && end <= sequence.TokenCount, "last token of a chunk", end, sequence.TokenCount);
        Require(end <= sequence.Blocks.Count * blockSize, "tokens in the blocks of a sequence", end, sequence.Blocks.Count * blockSize);
        int* ids = (int*)_host.At(_layout.Ids) + row;
        int* positions = (int*)_host.At(_layout.Positions) + row, slots = (int*)_host.At(_layout.Slots) + row;
        ReadOnlySpan<int> tokens = sequence.Tokens[scheduled.Start..end], blocks = sequence.Blocks.Blocks;
        for (int i = 0; i < tokens.Length; i++)
        {
            Require((uint)tokens[i] < (uint)_vocabulary, "token id", tokens[i], _vocabulary - 1);
            int position = scheduled.Start + i;
            ids[i] = tokens[i];
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
            Ids = _arena.Add(tokens, 1, sizeof(int));
            Positions = _arena.Add(tokens, 1, sizeof(int));
            Slots = _arena.Add(tokens, 1, sizeof(int));
            QueryStarts = _arena.Add(sequences + 1, 1, sizeof(int));
            Lengths = _arena.Add(sequences, 1, sizeof(int));
            TableRows = _arena.Add(sequences, 1, sizeof(int));
            LogitIndices = _arena.Add(tokens, 1, sizeof(int));
            SampleRows = _arena.Add(tokens, 1, sizeof(SampleRow));
        }

        public long Bytes => _arena.Bytes;

        public long Ids { get; }

        public long Positions { get; }

        public long Slots { get; }

        public long QueryStarts { get; }

        public long Lengths { get; }

        public long TableRows { get; }

        public long LogitIndices { get; }

        public long SampleRows { get; }
    }
}
