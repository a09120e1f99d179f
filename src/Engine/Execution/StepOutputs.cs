using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>What the sampler writes, on the device and in the pinned memory it is read from. One row per row of logits. Engine thread only.</summary>
internal sealed unsafe class StepOutputs : IDisposable
{
    private const int Columns = RunnerLimits.TopLogprobsMax;

    private readonly PinnedBuffer _hostResults;
    private readonly PinnedBuffer _hostTopIds;
    private readonly PinnedBuffer _hostTopValues;
    private readonly DeviceBuffer _results;
    private readonly DeviceBuffer _topIds;
    private readonly DeviceBuffer _topValues;

    public StepOutputs(Device device, RunnerLimits limits)
    {
        long rows = limits.MaxBatchedTokens;
        _hostResults = device.AllocatePinned(rows * sizeof(SampleResult));
        _hostTopIds = device.AllocatePinned(rows * Columns * sizeof(int));
        _hostTopValues = device.AllocatePinned(rows * Columns * sizeof(float));
        _results = device.Allocate(rows * sizeof(SampleResult));
        _topIds = device.Allocate(rows * Columns * sizeof(int));
        _topValues = device.Allocate(rows * Columns * sizeof(float));
    }

    public static long Bytes(RunnerLimits limits) => checked(2L * limits.MaxBatchedTokens * (sizeof(SampleResult) + (8 * Columns)));

    /// <summary>Device [logit rows].</summary>
    public SampleResult* Results => (SampleResult*)_results.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public int* TopIds => (int*)_topIds.Pointer;

    /// <summary>Device [logit rows, TopLogprobsMax].</summary>
    public float* TopValues => (float*)_topValues.Pointer;

    /// <summary>Queues the copies to the host; valid after the stream was synchronised.</summary>
    public void Download(Ops ops, int rows, bool withAlternatives)
    {
        ops.Copy(_hostResults.Pointer, _results.Pointer, (long)rows * sizeof(SampleResult), CopyKind.ToHost);
        if (!withAlternatives)
            return;
        ops.Copy(_hostTopIds.Pointer, _topIds.Pointer, (long)rows * Columns * sizeof(int), CopyKind.ToHost);
        ops.Copy(_hostTopValues.Pointer, _topValues.Pointer, (long)rows * Columns * sizeof(float), CopyKind.ToHost);
    }

    public SampleResult Result(int row) => _hostResults.AsSpan<SampleResult>()[row];

    /// <summary>The row's best alternatives, best first.</summary>
    public TokenLogprob[] Alternatives(int row, int count)
    {
        if (count == 0)
            return [];
        Span<int> ids = _hostTopIds.AsSpan<int>().Slice(row * Columns, count);
        Span<float> values = _hostTopValues.AsSpan<float>().Slice(row * Columns, count);
        TokenLogprob[] alternatives = new TokenLogprob[count];
        for (int i = 0; i < count; i++)
            alternatives[i] = new TokenLogprob(ids[i], values[i]);
        return alternatives;
    }

    public void Dispose()
    {
        _hostResults.Dispose();
        _hostTopIds.Dispose();
        _hostTopValues.Dispose();
        _results.Dispose();
        _topIds.Dispose();
        _topValues.Dispose();
    }
}
