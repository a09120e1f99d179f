using NativeLM.Engine.Execution;
using NativeLM.Engine.Weights;
using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>
/// A decoder as a column of op calls on one stream. The description is read once, into the arguments of every op of every layer;
/// a pass sets the row counts and calls. Nothing is allocated, no type is tested, and what a launch has room for and what it computes are
/// two numbers, so that a pass can be recorded and replayed for fewer rows. Engine thread only.
/// </summary>
internal sealed unsafe class CausalLm : IDisposable
{
    private readonly Ops _ops;
    private readonly Layer[] _layers;
    private readonly DeviceBuffer _ropeTable;
    private readonly StepBuffers _inputs;
    private readonly int _logitRowsMax;
    private readonly EmbedArgs _embed;
    private readonly GatherRowsArgs _pick;
    private readonly GatherRowsArgs _pickAttended;
    private readonly NormArgs _finalNorm;
    private readonly GemmArgs _lmHead;

    public CausalLm(ModelConfig config, WeightLayout layout, DeviceBuffer weights, Activations memory, KvPool cache, StepBuffers inputs,
        RunnerLimits limits, DeviceStream stream)
    {
        _ops = stream.Ops;
        _inputs = inputs;
        _logitRowsMax = limits.LogitRowsMax;
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

    /// <summary>
    /// Computes K and V of every token of the step in every layer. Follow it with <see cref="Logits"/> for the rows that need them.
    /// </summary>
    /// <param name="tokens">Most tokens.</param>
    /// <param name="sequences">Most sequences.</param>
    /// <param name="queryRows">Most tokens of one sequence.</param>
    public void Forward(int tokens, int sequences, int queryRows)
    {
        RowCount rows = new(tokens, _inputs.TokenCount);
        _ops.Embed(_embed with { RowsMax = rows.Max, Rows = rows.Count });
        for (int i = 0; i < _layers.Length; i++)
        {
            Layer layer = _layers[i];
            _ops.Norm(layer.AttentionNorm with { RowsMax = rows.Max, Rows = rows.Count });
            _ops.Gemm(layer.Qkv with { RowsMax = rows.Max, Rows = rows.Count });
            _ops.WriteKv(layer.WriteKv with { RowsMax = rows.Max, Rows = rows.Count });
            _ops.PagedAttention(layer.Attention with { RowsMax = rows.Max, SequencesMax = sequences, QueryRowsMax = queryRows });
            if (i < _layers.Length - 1)
                FinishLayer(layer, rows);
        }
    }

    /// <summary>
    /// Computes logits for one piece of the step's list of logit rows: rows [piece · LogitRowsMax, …), at most <paramref name="count"/> of
    /// them. Nothing after the attention of the last layer feeds the cache, so the rest of that layer runs here, on these rows only.
    /// </summary>
    public void Logits(int piece, int count)
    {
        RowCount rows = LogitRows(piece, count);
        int first = piece * _logitRowsMax;
        _ops.GatherRows(_pick with { Indices = _pick.Indices + first, RowsMax = rows.Max, Rows = rows.Count });
        _ops.GatherRows(_pickAttended with { Indices = _pickAttended.Indices + first, RowsMax = rows.Max, Rows = rows.Count });
        FinishLayer(_layers[^1], rows);
        _ops.Norm(_finalNorm with { RowsMax = rows.Max, Rows = rows.Count });
        _ops.Gemm(_lmHead with { RowsMax = rows.Max, Rows = rows.Count });
    }

    /// <summary>The rows of a piece of logits.</summary>
    public RowCount LogitRows(int piece, int count) => new(count, _inputs.LogitRowCounts + piece);

    private void FinishLayer(Layer layer, RowCount rows)
    {
        _ops.Gemm(layer.Output with { RowsMax = rows.Max, Rows = rows.Count });
        _ops.Norm(layer.MlpNorm with { RowsMax = rows.Max, Rows = rows.Count });
        _ops.Gemm(layer.GateUp with { RowsMax = rows.Max, Rows = rows.Count });
        _ops.Gemm(layer.Down with { RowsMax = rows.Max, Rows = rows.Count });
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
