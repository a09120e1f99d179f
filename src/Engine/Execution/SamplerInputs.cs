using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// What the sampler needs beside logits. State that lives as long as a sequence holds its slot (biases, allowed tokens, token counts)
/// is rebuilt when the slot is new; each step only fills the rows' parameters. Engine thread only.
/// </summary>
internal sealed unsafe class SamplerInputs : IDisposable
{
    private readonly RunnerLimits _limits;
    private readonly int _vocabulary;
    private readonly int[] _biasCounts;
    private readonly int[] _endCounts;
    private readonly int[] _lastTokens; // of each row of the plan being filled: where its last token is among the step's
    // Host sides have the device's layout, and each belongs to every second step: a slot's part is not written again before its copy is done.
    private readonly HostSide[] _sides;
    private readonly DeviceBuffer _biasIds;
    private readonly DeviceBuffer _biasValues;
    private readonly DeviceBuffer _allowedMask;
    private readonly DeviceBuffer _tokenCounts;
    private readonly DeviceBuffer _promptMask;
    private HostSide _host;

    public SamplerInputs(Device device, RunnerLimits limits, int vocabulary)
    {
        _limits = limits;
        _vocabulary = vocabulary;
        _biasCounts = new int[limits.MaxSequences];
        _endCounts = new int[limits.MaxSequences];
        _lastTokens = new int[limits.MaxSequences];
        HostSide Side() => new(device.AllocatePinned(BiasBytes(limits)), device.AllocatePinned(BiasBytes(limits)),
            device.AllocatePinned(MaskBytes(limits, vocabulary)));
        _sides = [Side(), Side()];
        _host = _sides[0];
        _biasIds = device.Allocate(BiasBytes(limits));
        _biasValues = device.Allocate(BiasBytes(limits));
        _allowedMask = device.Allocate(MaskBytes(limits, vocabulary));
        _tokenCounts = device.Allocate(CountBytes(limits, vocabulary));
        _promptMask = device.Allocate(MaskBytes(limits, vocabulary));
    }

    /// <summary>Bytes that are allocated here.</summary>
    public static long Bytes(RunnerLimits limits, int vocabulary) => checked(
        (6 * BiasBytes(limits)) + (4 * MaskBytes(limits, vocabulary)) + CountBytes(limits, vocabulary));

    /// <summary>The sampler's arguments that are the same in every step.</summary>
    public SampleArgs Fixed() => new()
    {
        TokenCounts = (ushort*)_tokenCounts.Pointer,
        PromptMask = (uint*)_promptMask.Pointer,
        AllowedMask = (uint*)_allowedMask.Pointer,
        BiasIds = (int*)_biasIds.Pointer,
        BiasValues = (float*)_biasValues.Pointer,
        Vocabulary = _vocabulary,
        CountRows = _limits.MaxSequences,
        MaskRows = _limits.MaxSequences,
        BiasTotal = checked(_limits.MaxSequences * RunnerLimits.BiasEntriesMax),
        TopLogprobsMax = RunnerLimits.TopLogprobsMax,
    };

    /// <summary>Chooses the host side, 0 or 1, that is written from now on. The step that used it last is over.</summary>
    public void UseSide(int side) => _host = _sides[side];

    /// <summary>
    /// Fills one row of parameters for each row of logits that the plan needs. The beams come first, so that those of a request lie side by
    /// side in the first piece of the logits. Then in the order of the plan: for a sequence first the rows of its prompt log-probabilities,
    /// ascending, then the row that draws, which is noted in <paramref name="drawnRows"/> for each row of the plan. Returns how many.
    /// </summary>
    public int Fill(StepPlan plan, Span<int> logitIndices, Span<SampleRow> rows, Span<int> drawnRows, Ops ops)
    {
        int count = BeamShape.Of(plan).Rows, token = 0;
        for (int s = 0; s < plan.Sequences.Length; s++)
        {
            ref readonly ScheduledSequence scheduled = ref plan.Sequences[s];
            if (scheduled.IsNewInSlot)
                LoadSlot(scheduled.Sequence, ops);
            int forced = PromptRows(scheduled);
            for (int i = 0; i < forced; i++)
            {
                logitIndices[count] = token + i;
                rows[count++] = PromptRow(scheduled.Sequence, scheduled.Start + i + 1);
            }
            token += scheduled.Count;
            _lastTokens[s] = token - 1;
            bool draws = scheduled.Samples && !scheduled.IsBeam;
            drawnRows[s] = draws ? count : -1;
            if (!draws)
                continue;
            logitIndices[count] = _lastTokens[RowOfLogits(plan, s)];
            rows[count++] = DrawRow(scheduled.Sequence, scheduled.Start + scheduled.Count);
        }
        FillBeams(plan, logitIndices, rows);
        return count;
    }

    /// <summary>How many of the chunk's rows report the log-probability of the prompt token that follows them.</summary>
    public static int PromptRows(in ScheduledSequence scheduled) => scheduled.Sequence.Sampling.PromptLogprobs is null
        ? 0 : Math.Clamp(scheduled.Sequence.PromptCount - 1 - scheduled.Start, 0, scheduled.Count);

    public void Dispose()
    {
        foreach (HostSide side in _sides)
            side.Dispose();
        _biasIds.Dispose();
        _biasValues.Dispose();
        _allowedMask.Dispose();
        _tokenCounts.Dispose();
        _promptMask.Dispose();
    }

    private void FillBeams(StepPlan plan, Span<int> logitIndices, Span<SampleRow> rows)
    {
        int count = 0;
        foreach (BeamRows beams in plan.Beams)
            for (int i = 0; i < beams.RowCount; i++)
            {
                logitIndices[count] = _lastTokens[beams.FirstRow + i];
                rows[count++] = IdleRow;
            }
    }

    /// <summary>The row of the plan whose last token gives a row the logits to draw from: its own, or that of the one it was forked from.</summary>
    private static int RowOfLogits(StepPlan plan, int row)
    {
        int source = plan.Sequences[row].LogitsRow ?? row;
        if (source > row || source < 0 || plan.Sequences[source].Count == 0)
            throw new InvalidOperationException($"step plan: row {row} draws from the logits of row {source}, which are not computed before it");
        return source;
    }

    // Nothing is drawn or reported: the step wants the logits alone.
    private static SampleRow IdleRow => new() { TopP = 1, RepetitionPenalty = 1, CountRow = -1, MaskRow = -1, TopLogprobs = -1 };

    private static SampleRow PromptRow(Sequence sequence, int position) => new()
    {
        Position = position,
        ForcedToken = sequence.Tokens[position],
        TopP = 1,
        RepetitionPenalty = 1,
        CountRow = -1,
        MaskRow = -1,
        TopLogprobs = sequence.Sampling.PromptLogprobs!.Value,
    };

    private SampleRow DrawRow(Sequence sequence, int position)
    {
        SamplingParams sampling = sequence.Sampling;
        int slot = sequence.Slot;
        bool bansEnd = position - sequence.PromptCount < sampling.MinTokens;
        return new SampleRow
        {
            Seed = sequence.Seed,
            Position = position,
            ForcedToken = -1,
            Temperature = sampling.Temperature < SamplingParams.GreedyBelow ? 0 : sampling.Temperature,
            TopP = sampling.TopP,
            MinP = sampling.MinP,
            TopK = Math.Clamp(sampling.TopK, 0, _vocabulary),
            RepetitionPenalty = sampling.RepetitionPenalty,
            PresencePenalty = sampling.PresencePenalty,
            FrequencyPenalty = sampling.FrequencyPenalty,
            CountRow = sampling.NeedsTokenCounts ? slot : -1,
            MaskRow = sampling.AllowedTokenIds.Count > 0 ? slot : -1,
            BiasStart = slot * RunnerLimits.BiasEntriesMax,
            BiasCount = _biasCounts[slot] + (bansEnd ? _endCounts[slot] : 0),
            TopLogprobs = sampling.Logprobs ?? (sampling.RanksOutputs ? 0 : -1),
        };
    }

    private void LoadSlot(Sequence sequence, Ops ops)
    {
        LoadBiases(sequence, ops);
        if (sequence.Sampling.AllowedTokenIds.Count > 0)
            LoadAllowed(sequence, ops);
        if (sequence.Sampling.NeedsTokenCounts)
            LoadCounts(sequence, ops);
    }

    // The request's biases first, then its end ids with minus infinity: those count while the output is shorter than MinTokens.
    private void LoadBiases(Sequence sequence, Ops ops)
    {
        SamplingParams sampling = sequence.Sampling;
        int slot = sequence.Slot, count = 0;
        long offset = (long)slot * RunnerLimits.BiasEntriesMax * sizeof(int);
        int* ids = (int*)_host.BiasIds.At(offset);
        float* values = (float*)_host.BiasValues.At(offset);
        foreach ((int id, float value) in sampling.LogitBias)
            Append(id, value);
        _biasCounts[slot] = count;
        if (sampling.MinTokens > 0)
        {
            foreach (int id in sequence.EndIds)
                Append(id, float.NegativeInfinity);
        }
        _endCounts[slot] = count - _biasCounts[slot];
        if (count == 0)
            return;
        ops.Copy(_biasIds.At(offset), ids, count * (long)sizeof(int), CopyKind.ToDevice);
        ops.Copy(_biasValues.At(offset), values, count * (long)sizeof(float), CopyKind.ToDevice);

        void Append(int id, float value)
        {
            if (count == RunnerLimits.BiasEntriesMax)
                throw new InvalidOperationException($"biases, end ids and stop ids of a request: found more than {RunnerLimits.BiasEntriesMax}");
            ids[count] = id;
            values[count++] = value;
        }
    }

    private void LoadAllowed(Sequence sequence, Ops ops)
    {
        long bytes = MaskWords(_vocabulary) * (long)sizeof(uint), offset = sequence.Slot * bytes;
        Span<uint> words = new(_host.AllowedMask.At(offset), MaskWords(_vocabulary));
        words.Clear();
        foreach (int id in sequence.Sampling.AllowedTokenIds)
            if ((uint)id < (uint)_vocabulary)
                words[id / 32] |= 1u << (id % 32);
        ops.Copy(_allowedMask.At(offset), _host.AllowedMask.At(offset), bytes, CopyKind.ToDevice);
    }

    private void LoadCounts(Sequence sequence, Ops ops)
    {
        fixed (int* tokens = sequence.Tokens)
        {
            ops.CountTokens(new CountTokensArgs
            {
                Row = sequence.Slot,
                TokenCounts = (ushort*)_tokenCounts.Pointer,
                PromptMask = (uint*)_promptMask.Pointer,
                Prompt = tokens,
                Output = tokens + sequence.PromptCount,
                PromptCount = sequence.PromptCount,
                OutputCount = sequence.OutputCount,
                CountRows = _limits.MaxSequences,
                Vocabulary = _vocabulary,
            });
        }
    }

    private static int MaskWords(int vocabulary) => (vocabulary + 31) / 32;

    private static long BiasBytes(RunnerLimits limits) => checked((long)limits.MaxSequences * RunnerLimits.BiasEntriesMax * sizeof(int));

    private static long MaskBytes(RunnerLimits limits, int vocabulary) => checked((long)limits.MaxSequences * MaskWords(vocabulary) * sizeof(uint));

    private static long CountBytes(RunnerLimits limits, int vocabulary) => checked((long)limits.MaxSequences * vocabulary * sizeof(ushort));

    private sealed record HostSide(PinnedBuffer BiasIds, PinnedBuffer BiasValues, PinnedBuffer AllowedMask) : IDisposable
    {
        public void Dispose()
        {
            BiasIds.Dispose();
            BiasValues.Dispose();
            AllowedMask.Dispose();
        }
    }
}
