namespace NativeLM.Engine.Models;

/// <summary>
/// Shape of a model, from config.json. Every number is checked before anything is allocated by it; what one constructor accepts,
/// the loader and the forward pass may trust.
/// </summary>
internal sealed record ModelConfig
{
    public const string FileName = "config.json";
    public const int PositionsLimit = 16_777_216;

    /// <summary>Most end ids, from both files together.</summary>
    public const int EosCountMax = 128;

    private const int FileBytesMax = 16 << 20;

    public required Architecture Architecture { get; init; }

    /// <summary>The name config.json gives, for example LlamaForCausalLM.</summary>
    public required string ArchitectureName { get; init; }

    /// <summary>Element type of the checkpoint as declared, or null where the config does not say.</summary>
    public ModelDType? CheckpointType { get; init; }

    public int VocabularySize { get; init; }

    public int HiddenSize { get; init; }

    /// <summary>Columns between gate·up and down.</summary>
    public int MlpSize { get; init; }

    public int LayerCount { get; init; }

    public int HeadCount { get; init; }

    public int KvHeadCount { get; init; }

    public int HeadDim { get; init; }

    /// <summary>Longest sequence that the model knows positions for.</summary>
    public int PositionsMax { get; init; }

    public float NormEpsilon { get; init; }

    public required RopeConfig Rope { get; init; }

    public bool TiedEmbeddings { get; init; }

    public bool HasQkvBias { get; init; }

    public bool HasOutputBias { get; init; }

    public bool HasMlpBias { get; init; }

    /// <summary>Per layer: keys a query sees, its own included; 0: all.</summary>
    public required IReadOnlyList<int> Windows { get; init; }

    /// <summary>Ids that end an output, from config.json and generation_config.json; may be empty.</summary>
    public required IReadOnlyList<int> EosTokenIds { get; init; }

    public int QkvRows => checked((HeadCount + (2 * KvHeadCount)) * HeadDim);

    /// <summary>Reads and checks a folder's config.json (and the end ids of generation_config.json).</summary>
    public static ModelConfig Load(ModelFolder folder)
    {
        ModelConfig config = FromHuggingFace(folder.ReadAll(FileName, FileBytesMax), folder.Name(FileName));
        const string generation = "generation_config.json";
        if (!folder.Has(generation))
            return config;
        JsonFields fields = JsonFields.Parse(folder.ReadAll(generation, FileBytesMax), folder.Name(generation));
        int[] more = fields.IntOrList("eos_token_id", 0, config.VocabularySize - 1, EosCountMax / 2) ?? [];
        return config with { EosTokenIds = [.. config.EosTokenIds.Union(more)] };
    }

    /// <summary>Checks the content of a config.json, in the keys of transformers 4 or 5. <paramref name="file"/> is for messages.</summary>
    public static ModelConfig FromHuggingFace(ReadOnlySpan<byte> content, string file)
    {
        JsonFields fields = JsonFields.Parse(content, file);
        (string name, Architecture architecture) = FindArchitecture(fields);
        RefuseWhatIsNotBuiltIn(fields);

        int hidden = Required(fields, "hidden_size", 1, 1 << 20);
        int heads = Required(fields, "num_attention_heads", 1, 4096);
        int kvHeads = fields.Int("num_key_value_heads", 1, 4096) ?? heads;
        if (heads % kvHeads != 0)
            throw fields.Wrong("num_key_value_heads", $"{kvHeads}", $"a divisor of num_attention_heads ({heads})");
        int layers = Required(fields, "num_hidden_layers", 1, 1024);
        int vocabulary = Required(fields, "vocab_size", 1, 1 << 24);
        int positions = fields.Int("max_position_embeddings", 1, PositionsLimit) ?? 2048;
        int headDim = HeadDimOf(fields, hidden, heads);
        return new ModelConfig
        {
            Architecture = architecture,
            ArchitectureName = name,
            CheckpointType = DeclaredType(fields),
            VocabularySize = vocabulary,
            HiddenSize = hidden,
            MlpSize = Required(fields, "intermediate_size", 1, 1 << 22),
            LayerCount = layers,
            HeadCount = heads,
            KvHeadCount = kvHeads,
            HeadDim = headDim,
            PositionsMax = positions,
            NormEpsilon = (float)(fields.Number("rms_norm_eps", 1e-12, 1) ?? architecture.NormEpsilonDefault),
            Rope = RopeConfig.FromHuggingFace(fields, headDim, positions),
            TiedEmbeddings = fields.Bool("tie_word_embeddings") ?? false,
            HasQkvBias = HasBias(architecture.QkvBias, fields.Bool("attention_bias")),
            HasOutputBias = HasBias(architecture.OutputBias, fields.Bool("attention_bias")),
            HasMlpBias = HasBias(architecture.MlpBias, fields.Bool("mlp_bias")),
            Windows = WindowsOf(fields, architecture.Window, layers),
            EosTokenIds = fields.IntOrList("eos_token_id", 0, vocabulary - 1, EosCountMax / 2) ?? [],
        };
    }

    private static (string Name, Architecture Architecture) FindArchitecture(JsonFields fields)
    {
        string supported = string.Join(", ", ArchitectureRegistry.Names);
        string[] names = fields.Texts("architectures", 16) ?? throw fields.Missing("architectures", $"one of {supported}");
        foreach (string name in names)
            if (ArchitectureRegistry.Find(name) is Architecture architecture)
                return (name, architecture);
        throw fields.Wrong("architectures", names.Length == 0 ? "an empty list" : string.Join(", ", names), $"one of {supported}");
    }

    private static void RefuseWhatIsNotBuiltIn(JsonFields fields)
    {
        if (fields.Object("quantization_config") is JsonFields quantization)
            throw fields.Wrong("quantization_config", quantization.Text("quant_method") ?? "a quantised checkpoint", "F32, F16 or BF16 weights");
        string activation = fields.Text("hidden_act") ?? "silu";
        if (activation is not ("silu" or "swish"))
            throw fields.Wrong("hidden_act", activation, "silu");
    }

    private static int HeadDimOf(JsonFields fields, int hidden, int heads)
    {
        int? given = fields.Int("head_dim", 2, 1024);
        if (given is null && hidden % heads != 0)
            throw fields.Wrong("num_attention_heads", $"{heads}", $"a divisor of hidden_size ({hidden}), or head_dim given");
        int dim = given ?? hidden / heads;
        return dim % 2 == 0 ? dim : throw fields.Wrong("head_dim", $"{dim}", "an even number");
    }

    private static ModelDType? DeclaredType(JsonFields fields)
    {
        string name = fields.Has("dtype") ? "dtype" : "torch_dtype";
        return fields.Text(name) switch
        {
            null or "auto" => null,
            "float32" or "torch.float32" => ModelDType.Float32,
            "bfloat16" or "torch.bfloat16" => ModelDType.BFloat16,
            "float16" or "torch.float16" => ModelDType.Float16,
            string other => throw fields.Wrong(name, other, "float32, bfloat16 or float16"),
        };
    }

    private static bool HasBias(BiasRule rule, bool? configured) => rule == BiasRule.Always || (rule == BiasRule.Configured && configured == true);

    private static int[] WindowsOf(JsonFields fields, WindowRule rule, int layers)
    {
        int[] windows = new int[layers];
        int window = rule == WindowRule.None || (rule == WindowRule.SomeLayers && fields.Bool("use_sliding_window") != true)
            ? 0 : fields.Int("sliding_window", 1, PositionsLimit) ?? 0;
        if (window == 0)
            return windows;
        string[]? types = rule == WindowRule.SomeLayers ? fields.Texts("layer_types", 1024) : null;
        if (types is not null && types.Length != layers)
            throw fields.Wrong("layer_types", $"{types.Length} entries", $"one for each of num_hidden_layers ({layers})");
        int first = rule == WindowRule.EveryLayer ? 0 : fields.Int("max_window_layers", 0, 1024) ?? 28;
        for (int layer = 0; layer < layers; layer++)
            windows[layer] = (types is null ? layer >= first : IsSliding(fields, types[layer])) ? window : 0;
        return windows;
    }

    private static bool IsSliding(JsonFields fields, string type) => type switch
    {
        "sliding_attention" => true,
        "full_attention" => false,
        _ => throw fields.Wrong("layer_types", type, "full_attention or sliding_attention"),
    };

    private static int Required(JsonFields fields, string name, int min, int max) =>
        fields.Int(name, min, max) ?? throw fields.Missing(name, $"an integer from {min} to {max}");
}
