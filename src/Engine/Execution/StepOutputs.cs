using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// What the sampler writes, on the device and in the pinned memory it is read from. One row per row of logits. The host side exists
/// twice: one is read while the next step's is on its way. Engine thread only.
/// </summary>
internal sealed unsafe class StepOutputs : IDisposable
{
    private const int Columns = RunnerLimits.TopLogprobsMax;

    private readonly PinnedBuffer[] _hostResults;
    private readonly PinnedBuffer[] _hostTopIds;
    private readonly PinnedBuffer[] _hostTopValues;
    private readonly DeviceBuffer _results;
    private readonly DeviceBuffer _topIds;
    private readonly DeviceBuffer _topValues;

    public StepOutputs(Device device, RunnerLimits limits)
    {
        long rows = limits.MaxBatchedTokens;
        PinnedBuffer[] Twice(long bytes) => [device.AllocatePinned(bytes), device.AllocatePinned(bytes)];
        _hostResults = Twice(rows * sizeof(SampleResult));
        _hostTopIds = Twice(rows * Columns * sizeof(int));
        _hostTopValues = Twice(rows * Columns * sizeof(float));
        _results = device.Allocate(rows * sizeof(SampleResult));
        _topIds = device.Allocate(rows * Columns * sizeof(int));
        _topValues = device.Allocate(rows * Columns * sizeof(float));
    }

    public static long Bytes(RunnerLimits limits) => checked(3L * limits.MaxBatchedTokens * (sizeof(SampleResult) + (8 * Columns)));

    /// <summary>Device [logit rows].</summary>
    public SampleResult* Results => (SampleResult*)_results.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public int* TopIds => (int*)_topIds.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public float* TopValues => (float*)_topValues.Pointer;

    /// <summary>Queues the copies to a host side, 0 or 1; valid once the stream has done them.</summary>
    public void Download(int side, int rows, bool withAlternatives, Ops ops)
    {
        ops.Copy(_hostResults[side].Pointer, _results.Pointer, (long)rows * sizeof(SampleResult), CopyKind.ToHost);
        if (!withAlternatives)
            return;
        ops.Copy(_hostTopIds[side].Pointer, _topIds.Pointer, (long)rows * Columns * sizeof(int), CopyKind.ToHost);
        ops.Copy(_hostTopValues[side].Pointer, _topValues.Pointer, (long)rows * Columns * sizeof(float), CopyKind.ToHost);
    }

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
        foreach (PinnedBuffer host in (ReadOnlySpan<PinnedBuffer>)[.. _hostResults, .. _hostTopIds, .. _hostTopValues])
            host.Dispose();
        _results.Dispose();
        _topIds.Dispose();
        _topValues.Dispose();
    }
}
