using NativeLM.Engine.Execution;
using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>Every intermediate of a forward pass, in one allocation sized for the largest step. Engine thread only.</summary>
internal sealed unsafe class Activations : IDisposable
{
    private readonly Layout _layout;
    private readonly DeviceBuffer _memory;

    public Activations(Device device, ModelConfig config, RunnerLimits limits, DType type, long workspaceBytes)
    {
        _layout = new Layout(config, limits, type, workspaceBytes);
        _memory = device.Allocate(_layout.Bytes);
        WorkspaceBytes = workspaceBytes;
        LogitsStride = LogitsColumns(config);
    }

    /// <summary>Bytes that will be allocated.</summary>
    public static long Bytes(ModelConfig config, RunnerLimits limits, DType type, long workspaceBytes) =>
        new Layout(config, limits, type, workspaceBytes).Bytes;

    /// <summary>[tokens, hidden]: the residual stream.</summary>
    public void* Hidden => _memory.At(_layout.Hidden);

    /// <summary>[tokens, hidden].</summary>
    public void* Normed => _memory.At(_layout.Normed);

    /// <summary>[tokens, q heads + 2 kv heads, head dim].</summary>
    public void* Qkv => _memory.At(_layout.Qkv);

    /// <summary>[tokens, q heads, head dim].</summary>
    public void* Queries => _memory.At(_layout.Queries);

    /// <summary>[tokens, q heads, head dim].</summary>
    public void* Attended => _memory.At(_layout.Attended);

    /// <summary>[tokens, mlp].</summary>
    public void* Mlp => _memory.At(_layout.Mlp);

    /// <summary>[logit rows, hidden]: the residual stream of the rows that need logits.</summary>
    public void* Picked => _memory.At(_layout.Picked);

    /// <summary>[logit rows, q heads, head dim]: in the place of the queries, which are done with by then.</summary>
    public void* PickedAttended => Queries;

    /// <summary>[logit rows, hidden].</summary>
    public void* PickedNormed => _memory.At(_layout.PickedNormed);

    /// <summary>[logit rows, LogitsStride] fp32.</summary>
    public float* Logits => (float*)_memory.At(_layout.Logits);

    /// <summary>Scratch that kernels share: the stream is in order.</summary>
    public void* Workspace => _memory.At(_layout.Workspace);

    public long WorkspaceBytes { get; }

    public int LogitsStride { get; }

    /// <summary>Columns of a row of logits: the vocabulary, rounded up so that rows stay aligned.</summary>
    public static int LogitsColumns(ModelConfig config) => (config.VocabularySize + 15) / 16 * 16;

    public void Dispose() => _memory.Dispose();

    private sealed class Layout
    {
        private readonly ArenaLayout _arena = new();

        public Layout(ModelConfig config, RunnerLimits limits, DType type, long workspaceBytes)
        {
            int tokens = limits.MaxBatchedTokens, element = type == DType.F32 ? 4 : 2, qRows = config.HeadCount * config.HeadDim;
            Hidden = _arena.Add(tokens, config.HiddenSize, element);
            Normed = _arena.Add(tokens, config.HiddenSize, element);
            Qkv = _arena.Add(tokens, config.QkvRows, element);
            Queries = _arena.Add(tokens, qRows, element);
            Attended = _arena.Add(tokens, qRows, element);
            Mlp = _arena.Add(tokens, config.MlpSize, element);
            Picked = _arena.Add(limits.LogitRowsMax, config.HiddenSize, element);
            PickedNormed = _arena.Add(limits.LogitRowsMax, config.HiddenSize, element);
            Logits = _arena.Add(limits.LogitRowsMax, LogitsColumns(config), sizeof(float));
            Workspace = _arena.Add(workspaceBytes);
        }

        public long Bytes => _arena.Bytes;

        public long Hidden { get; }

        public long Normed { get; }

        public long Qkv { get; }

        public long Queries { get; }

        public long Attended { get; }

        public long Mlp { get; }

        public long Picked { get; }

        public long PickedNormed { get; }

        public long Logits { get; }

        public long Workspace { get; }
    }
}
