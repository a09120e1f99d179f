namespace NativeLM.Benchmarks;

/// <summary>Shape of a Llama model to write.</summary>
internal sealed record RandomModelShape
{
    public int Layers { get; init; } = 22;

    public int Hidden { get; init; } = 2048;

    public int Heads { get; init; } = 32;

    public int KvHeads { get; init; } = 4;

    public int HeadDim { get; init; } = 64;

    public int Mlp { get; init; } = 5632;

    public int Vocabulary { get; init; } = 32000;

    public int Positions { get; init; } = 2048;

    public bool TiedEmbeddings { get; init; }

    /// <summary>float32, bfloat16 or float16.</summary>
    public string Type { get; init; } = "bfloat16";

    /// <summary>TinyLlama-1.1B: 22 layers, hidden 2048, 32 heads over 4 KV heads, MLP 5632, vocabulary 32000.</summary>
    public static RandomModelShape TinyLlama { get; } = new();

    /// <summary>Llama-3.1-8B: 32 layers, hidden 4096, 32 heads over 8 KV heads, MLP 14336, vocabulary 128256 (16 GB).</summary>
    public static RandomModelShape Llama8B { get; } = new()
    {
        Layers = 32,
        Hidden = 4096,
        Heads = 32,
        KvHeads = 8,
        HeadDim = 128,
        Mlp = 14336,
        Vocabulary = 128256,
        Positions = 8192,
    };

    /// <summary>Small enough for tests: under a second in every step.</summary>
    public static RandomModelShape Tiny { get; } = new()
    {
        Layers = 2,
        Hidden = 64,
        Heads = 4,
        KvHeads = 2,
        HeadDim = 16,
        Mlp = 96,
        Vocabulary = 512,
        Positions = 512,
    };

    /// <summary>Every tensor in the order of the file.</summary>
    public IEnumerable<(string Name, int[] Shape)> Tensors()
    {
        yield return ("model.embed_tokens.weight", [Vocabulary, Hidden]);
        for (int i = 0; i < Layers; i++)
        {
            string layer = $"model.layers.{i}.";
            yield return ($"{layer}input_layernorm.weight", [Hidden]);
            yield return ($"{layer}self_attn.q_proj.weight", [Heads * HeadDim, Hidden]);
            yield return ($"{layer}self_attn.k_proj.weight", [KvHeads * HeadDim, Hidden]);
            yield return ($"{layer}self_attn.v_proj.weight", [KvHeads * HeadDim, Hidden]);
            yield return ($"{layer}self_attn.o_proj.weight", [Hidden, Heads * HeadDim]);
            yield return ($"{layer}post_attention_layernorm.weight", [Hidden]);
            yield return ($"{layer}mlp.gate_proj.weight", [Mlp, Hidden]);
            yield return ($"{layer}mlp.up_proj.weight", [Mlp, Hidden]);
            yield return ($"{layer}mlp.down_proj.weight", [Hidden, Mlp]);
        }
        yield return ("model.norm.weight", [Hidden]);
        if (!TiedEmbeddings)
            yield return ("lm_head.weight", [Vocabulary, Hidden]);
    }
}
