using NativeLM.Engine.Execution;
using NativeLM.Engine.Weights;
using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>
/// A decoder as a column of op calls on one stream. The description is read once, into the arguments of every op of every layer;
/// a pass sets the row counts and calls. Nothing is allocated, no type is tested. Engine thread only.
/// </summary>
internal sealed unsafe class CausalLm : IDisposable
{
    private readonly Ops _ops;
    private readonly Layer[] _layers;
    private readonly DeviceBuffer _ropeTable;
    private readonly EmbedArgs _embed;
    private readonly GatherRowsArgs _pick;
    private readonly GatherRowsArgs _pickAttended;
    private readonly NormArgs _finalNorm;
    private readonly GemmArgs _lmHead;

    public CausalLm(ModelConfig config, WeightLayout layout, DeviceBuffer weights, Activations memory, KvPool cache, StepBuffers inputs,
        RunnerLimits limits, DeviceStream stream)
    {
        _ops = stream.Ops;
        _ropeTable = stream.Device.Allocate(RopeTableBytes(config, limits));
        FillRopeTable(config.Rope, limits.MaxModelLength, stream);
        LayerBuilder build = new(config, layout.Type, weights, memory);
        _embed = new EmbedArgs
        {
            TypeOut = layout.Type,
            Out = memory.Hidden,
            Ids = inputs.Ids,
            Table = weights.At(layout.Embedding),
            Vocabulary = config.VocabularySize,
            Columns = config.HiddenSize,
            TypeTable = layout.Type,
            Scale = 1,
        };
        _layers = new Layer[config.LayerCount];
        for (int i = 0; i < _layers.Length; i++)
            _layers[i] = build.Layer(i, layout.Layers[i], cache, inputs, limits, (float*)_ropeTable.Pointer);
        _pick = new GatherRowsArgs
        {
            Type = layout.Type,
            Out = memory.Picked,
            X = memory.Hidden,
            Indices = inputs.LogitIndices,
            XRows = limits.MaxBatchedTokens,
            Columns = config.HiddenSize,
        };
        _pickAttended = _pick with { Out = memory.PickedAttended, X = memory.Attended, Columns = config.HeadCount * config.HeadDim };
        _finalNorm = build.Norm(memory.PickedNormed, memory.Picked, layout.FinalNorm);
        _lmHead = build.Linear(memory.Logits, memory.PickedNormed, layout.LmHead, -1, config.VocabularySize, config.HiddenSize) with
        {
            OutStride = memory.LogitsStride,
            TypeOut = DType.F32,
        };
    }

    /// <summary>Bytes of the rope table.</summary>
    public static long RopeTableBytes(ModelConfig config, RunnerLimits limits) =>
        checked((long)limits.MaxModelLength * config.Rope.RotaryDim * sizeof(float));

    /// <summary>Scratch that the largest step needs in any of this model's kernels.</summary>
    public static long WorkspaceBytes(ModelConfig config, RunnerLimits limits, DType type, NativeLibrary library)
    {
        long bytes = 0;
        void Gemm(int rows, int n, int k, DType typeOut, Epilogue epilogue = Epilogue.None) =>
            bytes = Math.Max(bytes, library.GemmWorkspaceBytes(new GemmArgs
            {
                Epilogue = epilogue,
                RowsMax = rows,
                N = n,
                K = k,
                XStride = k,
                OutStride = n,
                TypeX = type,
                TypeWeight = type,
                TypeOut = typeOut,
            }));
        int tokens = limits.MaxBatchedTokens, qRows = config.HeadCount * config.HeadDim;
        Gemm(tokens, config.QkvRows, config.HiddenSize, type);
        Gemm(tokens, config.HiddenSize, qRows, type);
        Gemm(tokens, 2 * config.MlpSize, config.HiddenSize, type, Epilogue.SiluMul);
        Gemm(tokens, config.HiddenSize, config.MlpSize, type);
        Gemm(limits.LogitRowsMax, config.VocabularySize, config.HiddenSize, DType.F32);
        KvCache cache = KvPool.Describe(config, type, limits.BlockSize);
        return Math.Max(bytes, library.PagedAttentionWorkspaceBytes(LayerBuilder.AttentionShape(config, limits, type) with
        {
            Cache = &cache,
            RowsMax = tokens,
            SequencesMax = limits.MaxSequences,
        }));
    }

    /// <summary>Computes K and V of every token of the step in every layer. Follow it with <see cref="Logits"/> for the rows that need them.</summary>
    public void Forward(int rows, int sequences)
    {
        _ops.Embed(_embed with { RowsMax = rows });
        for (int i = 0; i < _layers.Length; i++)
        {
            Layer layer = _layers[i];
            _ops.Norm(layer.AttentionNorm with { RowsMax = rows });
            _ops.Gemm(layer.Qkv with { RowsMax = rows });
            _ops.WriteKv(layer.WriteKv with { RowsMax = rows });
            _ops.PagedAttention(layer.Attention with { RowsMax = rows, SequencesMax = sequences });
            if (i < _layers.Length - 1)
                FinishLayer(layer, rows);
        }
    }

    /// <summary>
    /// Computes logits for rows [first, first + count) of the step's list of logit rows; at most LogitRowsMax. Nothing after the attention
    /// of the last layer feeds the cache, so the rest of that layer runs here, on these rows only.
    /// </summary>
    public void Logits(int first, int count)
    {
        _ops.GatherRows(_pick with { Indices = _pick.Indices + first, RowsMax = count });
        _ops.GatherRows(_pickAttended with { Indices = _pickAttended.Indices + first, RowsMax = count });
        FinishLayer(_layers[^1], count);
        _ops.Norm(_finalNorm with { RowsMax = count });
        _ops.Gemm(_lmHead with { RowsMax = count });
    }

    private void FinishLayer(Layer layer, int rows)
    {
        _ops.Gemm(layer.Output with { RowsMax = rows });
        _ops.Norm(layer.MlpNorm with { RowsMax = rows });
        _ops.Gemm(layer.GateUp with { RowsMax = rows });
        _ops.Gemm(layer.Down with { RowsMax = rows });
    }

    public void Dispose() => _ropeTable.Dispose();

    private void FillRopeTable(RopeConfig rope, int positions, DeviceStream stream)
    {
        const int piece = 4096;
        float[] frequencies = RopeTable.Frequencies(rope);
        float[] rows = new float[Math.Min(piece, positions) * rope.RotaryDim];
        for (int first = 0; first < positions; first += piece)
        {
            Span<float> part = rows.AsSpan(0, Math.Min(piece, positions - first) * rope.RotaryDim);
            RopeTable.Fill(rope, frequencies, first, part);
            fixed (float* source = part)
            {
                _ops.Copy(_ropeTable.At((long)first * rope.RotaryDim * sizeof(float)), source, part.Length * (long)sizeof(float), CopyKind.ToDevice);
                stream.Synchronize();
            }
        }
    }
}
