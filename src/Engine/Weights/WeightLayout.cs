using NativeLM.Engine.Execution;
using NativeLM.Engine.Models;
using NativeLM.Interop;

namespace NativeLM.Engine.Weights;

/// <summary>
/// Every tensor that a model needs, with its name in Hugging Face's Llama layout, its shape, and its place in one arena. Computed from
/// the config alone; the loader holds it against the checkpoint before it allocates.
/// </summary>
internal sealed class WeightLayout
{
    private readonly ModelConfig _config;
    private readonly NativeLibrary _library;
    private readonly DType _type;
    private readonly ArenaLayout _arena = new();
    private readonly List<WeightPart> _parts = [];

    public WeightLayout(ModelConfig config, DType type, NativeLibrary library)
    {
        _config = config;
        _library = library;
        _type = type;
        Embedding = Matrix(config.VocabularySize, config.HiddenSize, ("model.embed_tokens.weight", config.VocabularySize, WeightRole.Plain));
        LayerOffsets[] layers = new LayerOffsets[config.LayerCount];
        for (int i = 0; i < layers.Length; i++)
            layers[i] = Layer($"model.layers.{i}.");
        Layers = layers;
        FinalNorm = Vector(("model.norm.weight", config.HiddenSize));
        LmHead = config.TiedEmbeddings
            ? Embedding
            : Matrix(config.VocabularySize, config.HiddenSize, ("lm_head.weight", config.VocabularySize, WeightRole.Plain));
    }

    public DType Type => _type;

    public IReadOnlyList<WeightPart> Parts => _parts;

    /// <summary>Bytes of the arena, padding of the packed form included.</summary>
    public long Bytes => _arena.Bytes;

    public long Embedding { get; }

    public IReadOnlyList<LayerOffsets> Layers { get; }

    public long FinalNorm { get; }

    /// <summary>Equal to <see cref="Embedding"/> when they are tied: the packed table is held once.</summary>
    public long LmHead { get; }

    /// <summary>Tensors that checkpoints carry and nothing needs.</summary>
    public bool IsIgnored(string name) =>
        name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || (_config.TiedEmbeddings && name == "lm_head.weight");

    private LayerOffsets Layer(string prefix)
    {
        ModelConfig c = _config;
        string attention = $"{prefix}self_attn.", mlp = $"{prefix}mlp.";
        int qRows = c.HeadCount * c.HeadDim, kvRows = c.KvHeadCount * c.HeadDim;
        return new LayerOffsets
        {
            AttentionNorm = Vector(($"{prefix}input_layernorm.weight", c.HiddenSize)),
            Qkv = Matrix(c.QkvRows, c.HiddenSize, ($"{attention}q_proj.weight", qRows, WeightRole.Plain),
                ($"{attention}k_proj.weight", kvRows, WeightRole.Plain), ($"{attention}v_proj.weight", kvRows, WeightRole.Plain)),
            QkvBias = c.HasQkvBias
                ? Vector(($"{attention}q_proj.bias", qRows), ($"{attention}k_proj.bias", kvRows), ($"{attention}v_proj.bias", kvRows)) : -1,
            QNorm = c.Architecture.QkNorm ? Vector(($"{attention}q_norm.weight", c.HeadDim)) : -1,
            KNorm = c.Architecture.QkNorm ? Vector(($"{attention}k_norm.weight", c.HeadDim)) : -1,
            Output = Matrix(c.HiddenSize, qRows, ($"{attention}o_proj.weight", c.HiddenSize, WeightRole.Plain)),
            OutputBias = c.HasOutputBias ? Vector(($"{attention}o_proj.bias", c.HiddenSize)) : -1,
            MlpNorm = Vector(($"{prefix}post_attention_layernorm.weight", c.HiddenSize)),
            GateUp = Matrix(checked(2 * c.MlpSize), c.HiddenSize,
                ($"{mlp}gate_proj.weight", c.MlpSize, WeightRole.Gate), ($"{mlp}up_proj.weight", c.MlpSize, WeightRole.Up)),
            GateUpBias = c.HasMlpBias ? Vector(($"{mlp}gate_proj.bias", c.MlpSize), ($"{mlp}up_proj.bias", c.MlpSize)) : -1,
            Down = Matrix(c.HiddenSize, c.MlpSize, ($"{mlp}down_proj.weight", c.HiddenSize, WeightRole.Plain)),
            DownBias = c.HasMlpBias ? Vector(($"{mlp}down_proj.bias", c.HiddenSize)) : -1,
        };
    }

    private long Matrix(int n, int k, params ReadOnlySpan<(string Name, int Rows, WeightRole Role)> parts)
    {
        long offset = _arena.Add(_library.PackedWeightBytes(_type, n, k));
        int row = 0;
        foreach ((string name, int rows, WeightRole role) in parts)
        {
            _parts.Add(new WeightPart(name, [rows, k], offset, n, role == WeightRole.Plain ? row : 0, role));
            row += rows;
        }
        return offset;
    }

    private long Vector(params ReadOnlySpan<(string Name, int Count)> parts)
    {
        int elementBytes = _type == DType.F32 ? 4 : 2;
        int total = 0;
        foreach ((_, int count) in parts)
            total = checked(total + count);
        long offset = _arena.Add(total, 1, elementBytes);
        long place = offset;
        foreach ((string name, int count) in parts)
        {
            _parts.Add(new WeightPart(name, [count], place, 0, 0, WeightRole.Plain));
            place += (long)count * elementBytes;
        }
        return offset;
    }
}
