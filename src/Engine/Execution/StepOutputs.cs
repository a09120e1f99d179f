using NativeLM.Interop;
using Candidate = NativeLM.Interop.BeamCandidate;

namespace NativeLM.Engine.Execution;

/// <summary>
/// What the sampler and the beam search write, on the device and in the pinned memory it is read from. The host side exists
/// twice: one is read while the next step's is on its way. Engine thread only.
/// </summary>
internal sealed unsafe class StepOutputs : IDisposable
{
    private const int Columns = RunnerLimits.TopLogprobsMax;

    private readonly PinnedBuffer[] _hostResults;
    private readonly PinnedBuffer[] _hostTopIds;
    private readonly PinnedBuffer[] _hostTopValues;
    private readonly PinnedBuffer[] _hostCandidates;
    private readonly PinnedBuffer[] _hostFlags;
    private readonly DeviceBuffer _results;
    private readonly DeviceBuffer _topIds;
    private readonly DeviceBuffer _topValues;
    private readonly DeviceBuffer _candidates;
    private readonly DeviceBuffer _flags;

    public StepOutputs(Device device, RunnerLimits limits)
    {
        long rows = limits.LogitRowsTotal;
        PinnedBuffer[] Twice(long bytes) => [device.AllocatePinned(bytes), device.AllocatePinned(bytes)];
        _hostResults = Twice(rows * sizeof(SampleResult));
        _hostTopIds = Twice(rows * Columns * sizeof(int));
        _hostTopValues = Twice(rows * Columns * sizeof(float));
        _hostCandidates = Twice(CandidateBytes(limits));
        _hostFlags = Twice(limits.BeamGroupsMax * sizeof(int));
        _results = device.Allocate(rows * sizeof(SampleResult));
        _topIds = device.Allocate(rows * Columns * sizeof(int));
        _topValues = device.Allocate(rows * Columns * sizeof(float));
        _candidates = device.Allocate(CandidateBytes(limits));
        _flags = device.Allocate(limits.BeamGroupsMax * sizeof(int));
    }

    public static long Bytes(RunnerLimits limits) => checked(
        3 * ((limits.LogitRowsTotal * (long)(sizeof(SampleResult) + (8 * Columns))) + CandidateBytes(limits) + (limits.BeamGroupsMax * sizeof(int))));

    /// <summary>Device [logit rows].</summary>
    public SampleResult* Results => (SampleResult*)_results.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public int* TopIds => (int*)_topIds.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public float* TopValues => (float*)_topValues.Pointer;

    /// <summary>Device [beam groups, candidates of the step].</summary>
    public Candidate* Candidates => (Candidate*)_candidates.Pointer;

    /// <summary>Device [beam groups]: SampleFlags.</summary>
    public int* BeamFlags => (int*)_flags.Pointer;

    /// <summary>Queues the copies to a host side, 0 or 1; valid once the stream has done them.</summary>
    public void Download(int side, int rows, bool withAlternatives, Ops ops)
    {
        ops.Copy(_hostResults[side].Pointer, _results.Pointer, (long)rows * sizeof(SampleResult), CopyKind.ToHost);
        if (!withAlternatives)
            return;
        ops.Copy(_hostTopIds[side].Pointer, _topIds.Pointer, (long)rows * Columns * sizeof(int), CopyKind.ToHost);
        ops.Copy(_hostTopValues[side].Pointer, _topValues.Pointer, (long)rows * Columns * sizeof(float), CopyKind.ToHost);
    }

    /// <summary>Queues the copies of beams' results, as <see cref="Download"/>.</summary>
    public void DownloadBeams(int side, BeamShape beams, Ops ops)
    {
        ops.Copy(_hostCandidates[side].Pointer, _candidates.Pointer, (long)beams.Groups * beams.Candidates * sizeof(Candidate), CopyKind.ToHost);
        ops.Copy(_hostFlags[side].Pointer, _flags.Pointer, (long)beams.Groups * sizeof(int), CopyKind.ToHost);
    }

    /// <summary>Candidates of a group of beams, best first. Their rows count from the step's first beam.</summary>
    public ReadOnlySpan<Candidate> CandidatesOf(int side, BeamShape beams, int group) =>
        _hostCandidates[side].AsSpan<Candidate>().Slice(group * beams.Candidates, beams.Candidates);

    /// <summary>Whether logits of a group of beams were not finite.</summary>
    public bool BeamFailed(int side, int group) => _hostFlags[side].AsSpan<int>()[group] != 0;

    public SampleResult Result(int side, int row) => _hostResults[side].AsSpan<SampleResult>()[row];

    /// <summary>The row's best alternatives, best first.</summary>
    public TokenLogprob[] Alternatives(int side, int row, int count)
    {
        if (count == 0)
            return [];
        Span<int> ids = _hostTopIds[side].AsSpan<int>().Slice(row * Columns, count);
        Span<float> values = _hostTopValues[side].AsSpan<float>().Slice(row * Columns, count);
        TokenLogprob[] alternatives = new TokenLogprob[count];
        for (int i = 0; i < count; i++)
            alternatives[i] = new TokenLogprob(ids[i], values[i]);
        return alternatives;
    }

    public void Dispose()
    {
        foreach (PinnedBuffer[] sides in (ReadOnlySpan<PinnedBuffer[]>)[_hostResults, _hostTopIds, _hostTopValues, _hostCandidates, _hostFlags])
            foreach (PinnedBuffer side in sides)
                side.Dispose();
        _results.Dispose();
        _topIds.Dispose();
        _topValues.Dispose();
        _candidates.Dispose();
        _flags.Dispose();
    }

    private static long CandidateBytes(RunnerLimits limits) => checked((long)limits.BeamGroupsMax * StepResult.CandidatesMax * sizeof(Candidate));
}
