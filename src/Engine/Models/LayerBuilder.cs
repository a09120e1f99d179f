using NativeLM.Engine.Execution;
using NativeLM.Engine.Weights;
using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>Turns config and weight offsets into op arguments.</summary>
internal sealed unsafe class LayerBuilder(ModelConfig config, DType type, DeviceBuffer weights, Activations memory)
{
    /// <summary>One layer. What follows the attention of the last one runs on the rows that need logits, in buffers of their own.</summary>
    public Layer Layer(int index, LayerOffsets offsets, KvPool cache, StepBuffers inputs, RunnerLimits limits, float* ropeTable)
    {
        int hidden = config.HiddenSize, qRows = config.HeadCount * config.HeadDim;
        bool isLast = index == config.LayerCount - 1;
        void* residual = isLast ? memory.Picked : memory.Hidden, attended = isLast ? memory.PickedAttended : memory.Attended;
        return new Layer
        {
            AttentionNorm = Norm(memory.Normed, memory.Hidden, offsets.AttentionNorm),
            Qkv = Linear(memory.Qkv, memory.Normed, offsets.Qkv, offsets.QkvBias, config.QkvRows, hidden),
            WriteKv = WriteKv(index, offsets, cache, inputs, limits, ropeTable),
            Attention = Attention(index, cache, inputs, limits),
            Output = Linear(residual, attended, offsets.Output, offsets.OutputBias, hidden, qRows) with { Residual = residual },
            MlpNorm = Norm(memory.Normed, residual, offsets.MlpNorm),
            GateUp = Linear(memory.Mlp, memory.Normed, offsets.GateUp, offsets.GateUpBias, 2 * config.MlpSize, hidden) with
            {
                Epilogue = Epilogue.SiluMul,
                OutStride = config.MlpSize,
            },
            Down = Linear(residual, memory.Mlp, offsets.Down, offsets.DownBias, hidden, config.MlpSize) with { Residual = residual },
        };
    }

    public NormArgs Norm(void* output, void* x, long weight) => new()
    {
        Kind = NormKind.Rms,
        Out = output,
        X = x,
        Weight = weights.At(weight),
        XStride = config.HiddenSize,
        OutStride = config.HiddenSize,
        Columns = config.HiddenSize,
        Type = type,
        Epsilon = config.NormEpsilon,
    };

    public GemmArgs Linear(void* output, void* x, long weight, long bias, int n, int k) => new()
    {
        Out = output,
        X = x,
        Weight = weights.At(weight),
        Bias = At(bias),
        Workspace = memory.Workspace,
        WorkspaceBytes = memory.WorkspaceBytes,
        XStride = k,
        OutStride = n,
        N = n,
        K = k,
        TypeX = type,
        TypeWeight = type,
        TypeOut = type,
    };

    /// <summary>The fields of attention that its workspace depends on.</summary>
    public static PagedAttentionArgs AttentionShape(ModelConfig config, RunnerLimits limits, DType type) => new()
    {
        Type = type,
        QHeadCount = config.HeadCount,
        TableCount = limits.MaxSequences,
        TableStride = limits.BlocksPerSequence,
        LengthMax = limits.MaxModelLength,
        SplitKeys = RunnerLimits.SplitKeys,
        Scale = (float)(1 / Math.Sqrt(config.HeadDim)),
    };

    private PagedAttentionArgs Attention(int index, KvPool cache, StepBuffers inputs, RunnerLimits limits) =>
        AttentionShape(config, limits, type) with
        {
            Out = memory.Attended,
            Q = memory.Queries,
            Cache = cache.Pointer,
            QueryStarts = inputs.QueryStarts,
            Sequences = inputs.SequenceCount,
            Lengths = inputs.Lengths,
            TableRows = inputs.TableRows,
            BlockTables = inputs.BlockTables,
            Workspace = memory.Workspace,
            WorkspaceBytes = memory.WorkspaceBytes,
            Layer = index,
            Window = config.Windows[index],
        };

    private WriteKvArgs WriteKv(int index, LayerOffsets offsets, KvPool cache, StepBuffers inputs, RunnerLimits limits, float* ropeTable) => new()
    {
        Type = type,
        QOut = memory.Queries,
        Cache = cache.Pointer,
        Qkv = memory.Qkv,
        QNorm = At(offsets.QNorm),
        KNorm = At(offsets.KNorm),
        RopeTable = ropeTable,
        Positions = inputs.Positions,
        Slots = inputs.Slots,
        QHeadCount = config.HeadCount,
        Layer = index,
        PositionsMax = limits.MaxModelLength,
        RotaryDim = config.Rope.RotaryDim,
        RopeStyle = RopeStyle.HalfSplit,
        NormEpsilon = config.NormEpsilon,
    };

    private void* At(long offset) => offset < 0 ? null : weights.At(offset);
}
