using System.Buffers.Binary;
using System.Text;
using System.Text.Json;

namespace NativeLM.Benchmarks.LlamaCpp;

/// <summary>
/// Writes the weights of a Hugging Face Llama folder (one bf16 safetensors file) as GGUF, so that both systems compute with the same numbers.
/// Rows of q and k are permuted from half-split to interleaved rotary order, as llama.cpp expects them.
/// </summary>
internal static class GgufExport
{
    private const int Alignment = 32;
    private const uint TypeF32 = 0, TypeBf16 = 30;

    private sealed record Source(string Name, long[] Shape, long Offset, long Bytes);

    private sealed record Target(string Name, Source Source, bool AsFloat, int PermuteHeads);

    public static void Write(string modelFolder, string path)
    {
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(modelFolder, "config.json")));
        JsonElement root = config.RootElement;
        int heads = root.GetProperty("num_attention_heads").GetInt32();
        int kvHeads = root.GetProperty("num_key_value_heads").GetInt32();
        using FileStream input = File.OpenRead(Path.Combine(modelFolder, "model.safetensors"));
        (Dictionary<string, Source> sources, long dataStart) = ReadHeader(input);
        List<Target> targets = Targets(sources, root.GetProperty("num_hidden_layers").GetInt32(), heads, kvHeads);

        using FileStream output = File.Create(path);
        using BinaryWriter writer = new(output);
        WriteHeader(writer, root, targets, heads, kvHeads);
        foreach (Target target in targets)
        {
            byte[] data = new byte[target.Source.Bytes];
            input.Position = dataStart + target.Source.Offset;
            input.ReadExactly(data);
            writer.Write(target.PermuteHeads > 0 ? Permute(data, target) : target.AsFloat ? Widen(data) : data);
            Pad(writer);
        }
    }

    private static (Dictionary<string, Source>, long) ReadHeader(FileStream input)
    {
        Span<byte> length = stackalloc byte[8];
        input.ReadExactly(length);
        byte[] header = new byte[checked((int)BinaryPrimitives.ReadInt64LittleEndian(length))];
        input.ReadExactly(header);
        Dictionary<string, Source> sources = [];
        using JsonDocument document = JsonDocument.Parse(header);
        foreach (JsonProperty tensor in document.RootElement.EnumerateObject().Where(p => p.Name != "__metadata__"))
        {
            if (tensor.Value.GetProperty("dtype").GetString() != "BF16")
                throw new InvalidDataException($"{tensor.Name}: found {tensor.Value.GetProperty("dtype")}, needed BF16 (write the model with benchmarks/RandomModel)");
            long[] shape = [.. tensor.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
            long begin = tensor.Value.GetProperty("data_offsets")[0].GetInt64(), end = tensor.Value.GetProperty("data_offsets")[1].GetInt64();
            sources[tensor.Name] = new Source(tensor.Name, shape, begin, end - begin);
        }
        return (sources, 8 + header.Length);
    }

    private static List<Target> Targets(Dictionary<string, Source> sources, int layers, int heads, int kvHeads)
    {
        List<Target> targets =
        [
            new("token_embd.weight", sources["model.embed_tokens.weight"], false, 0),
            new("output_norm.weight", sources["model.norm.weight"], true, 0),
            new("output.weight", sources["lm_head.weight"], false, 0),
        ];
        for (int layer = 0; layer < layers; layer++)
        {
            string from = $"model.layers.{layer}.", to = $"blk.{layer}.";
            targets.Add(new(to + "attn_norm.weight", sources[from + "input_layernorm.weight"], true, 0));
            targets.Add(new(to + "attn_q.weight", sources[from + "self_attn.q_proj.weight"], false, heads));
            targets.Add(new(to + "attn_k.weight", sources[from + "self_attn.k_proj.weight"], false, kvHeads));
            targets.Add(new(to + "attn_v.weight", sources[from + "self_attn.v_proj.weight"], false, 0));
            targets.Add(new(to + "attn_output.weight", sources[from + "self_attn.o_proj.weight"], false, 0));
            targets.Add(new(to + "ffn_norm.weight", sources[from + "post_attention_layernorm.weight"], true, 0));
            targets.Add(new(to + "ffn_gate.weight", sources[from + "mlp.gate_proj.weight"], false, 0));
            targets.Add(new(to + "ffn_up.weight", sources[from + "mlp.up_proj.weight"], false, 0));
            targets.Add(new(to + "ffn_down.weight", sources[from + "mlp.down_proj.weight"], false, 0));
        }
        return targets;
    }

    private static void WriteHeader(BinaryWriter writer, JsonElement config, List<Target> targets, int heads, int kvHeads)
    {
        (string Key, object Value)[] metadata =
        [
            ("general.architecture", "llama"),
            ("general.name", "nativelm-random"),
            ("general.file_type", 32u),
            ("llama.block_count", (uint)config.GetProperty("num_hidden_layers").GetInt32()),
            ("llama.context_length", (uint)config.GetProperty("max_position_embeddings").GetInt32()),
            ("llama.embedding_length", (uint)config.GetProperty("hidden_size").GetInt32()),
            ("llama.feed_forward_length", (uint)config.GetProperty("intermediate_size").GetInt32()),
            ("llama.attention.head_count", (uint)heads),
            ("llama.attention.head_count_kv", (uint)kvHeads),
            ("llama.attention.layer_norm_rms_epsilon", config.GetProperty("rms_norm_eps").GetSingle()),
            ("llama.rope.dimension_count", (uint)(config.GetProperty("hidden_size").GetInt32() / heads)),
            ("llama.rope.freq_base", config.TryGetProperty("rope_theta", out JsonElement theta) ? theta.GetSingle() : 10000f),
            ("llama.vocab_size", (uint)config.GetProperty("vocab_size").GetInt32()),
            ("tokenizer.ggml.model", "no_vocab"),
        ];
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)targets.Count);
        writer.Write((ulong)metadata.Length);
        foreach ((string key, object value) in metadata)
        {
            WriteString(writer, key);
            switch (value)
            {
                case uint number: writer.Write(4u); writer.Write(number); break;
                case float number: writer.Write(6u); writer.Write(number); break;
                case string text: writer.Write(8u); WriteString(writer, text); break;
            }
        }
        ulong offset = 0;
        foreach (Target target in targets)
        {
            WriteString(writer, target.Name);
            writer.Write((uint)target.Source.Shape.Length);
            foreach (long dimension in target.Source.Shape.Reverse())
                writer.Write((ulong)dimension);
            writer.Write(target.AsFloat ? TypeF32 : TypeBf16);
            writer.Write(offset);
            ulong bytes = (ulong)target.Source.Bytes * (target.AsFloat ? 2u : 1u);
            offset += (bytes + Alignment - 1) / Alignment * Alignment;
        }
        Pad(writer);
    }

    private static void WriteString(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static void Pad(BinaryWriter writer)
    {
        writer.Flush();
        long rest = writer.BaseStream.Position % Alignment;
        if (rest != 0)
            writer.Write(new byte[Alignment - rest]);
    }

    // [head][2][dim / 2] rows become [head][dim / 2][2].
    private static byte[] Permute(byte[] data, Target target)
    {
        int rows = (int)target.Source.Shape[0], headDim = rows / target.PermuteHeads, rowBytes = data.Length / rows;
        byte[] result = new byte[data.Length];
        for (int row = 0; row < rows; row++)
        {
            int head = row / headDim, within = row % headDim, half = within / (headDim / 2), index = within % (headDim / 2);
            int to = head * headDim + index * 2 + half;
            data.AsSpan(row * rowBytes, rowBytes).CopyTo(result.AsSpan(to * rowBytes));
        }
        return result;
    }

    private static byte[] Widen(byte[] bf16)
    {
        byte[] result = new byte[bf16.Length * 2];
        for (int i = 0; i < bf16.Length; i += 2)
            bf16.AsSpan(i, 2).CopyTo(result.AsSpan(i * 2 + 2));
        return result;
    }
}
