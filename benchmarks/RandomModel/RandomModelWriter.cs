using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;

namespace NativeLM.Benchmarks;

/// <summary>
/// Writes a Llama model folder of any shape with seeded random weights: config.json, model.safetensors, tokenizer.json,
/// tokenizer_config.json, generation_config.json. The same shape and seed give the same bytes.
/// </summary>
internal static class RandomModelWriter
{
    private const int ChunkElements = 4 << 20;

    public static void Write(string folder, RandomModelShape shape, ulong seed)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config(shape));
        File.WriteAllText(Path.Combine(folder, "generation_config.json"), "{\"bos_token_id\": 1, \"eos_token_id\": 2}\n");
        RandomTokenizer.Write(folder, shape.Vocabulary);
        using FileStream file = File.Create(Path.Combine(folder, "model.safetensors"));
        WriteTensors(file, shape, seed);
    }

    public static string Config(RandomModelShape shape) => new JsonObject
    {
        ["architectures"] = new JsonArray("LlamaForCausalLM"),
        ["model_type"] = "llama",
        ["torch_dtype"] = shape.Type,
        ["vocab_size"] = shape.Vocabulary,
        ["hidden_size"] = shape.Hidden,
        ["intermediate_size"] = shape.Mlp,
        ["num_hidden_layers"] = shape.Layers,
        ["num_attention_heads"] = shape.Heads,
        ["num_key_value_heads"] = shape.KvHeads,
        ["head_dim"] = shape.HeadDim,
        ["hidden_act"] = "silu",
        ["max_position_embeddings"] = shape.Positions,
        ["rms_norm_eps"] = 1e-5,
        ["rope_theta"] = 10000.0,
        ["tie_word_embeddings"] = shape.TiedEmbeddings,
        ["bos_token_id"] = 1,
        ["eos_token_id"] = 2,
    }.ToJsonString();

    private static void WriteTensors(FileStream file, RandomModelShape shape, ulong seed)
    {
        (string type, int bytes) = shape.Type switch
        {
            "float32" => ("F32", 4),
            "float16" => ("F16", 2),
            _ => ("BF16", 2),
        };
        byte[] header = Header(shape, type, bytes);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        file.Write(length);
        file.Write(header);
        ulong stream = seed;
        foreach ((string name, int[] dims) in shape.Tensors())
            WriteTensor(file, dims, name, type, bytes, stream++);
    }

    private static byte[] Header(RandomModelShape shape, string type, int bytes)
    {
        StringBuilder text = new("{");
        long offset = 0;
        foreach ((string name, int[] dims) in shape.Tensors())
        {
            long end = offset + (dims.Aggregate(1L, (product, dim) => product * dim) * bytes);
            text.Append(CultureInfo.InvariantCulture,
                $"\"{name}\":{{\"dtype\":\"{type}\",\"shape\":[{string.Join(',', dims)}],\"data_offsets\":[{offset},{end}]}},");
            offset = end;
        }
        text[^1] = '}';
        // Blanks up to a multiple of 8, so that the data is aligned.
        text.Append(' ', (8 - (text.Length % 8)) % 8);
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static void WriteTensor(FileStream file, int[] dims, string name, string type, int bytes, ulong stream)
    {
        long count = dims.Aggregate(1L, (product, dim) => product * dim);
        byte[] buffer = new byte[Math.Min(count, ChunkElements) * bytes];
        // Norms are near one; linear layers keep the variance of their input; the embedding is like a trained one.
        bool isNorm = dims.Length == 1;
        float scale = isNorm ? 0.05f : name.Contains("embed", StringComparison.Ordinal) ? 0.05f : (float)Math.Sqrt(3.0 / dims[1]);
        for (long first = 0; first < count; first += ChunkElements)
        {
            int size = (int)Math.Min(ChunkElements, count - first);
            const int stripe = 1 << 16;
            Parallel.For(0, (size + stripe - 1) / stripe, s =>
            {
                for (int i = s * stripe; i < Math.Min(size, (s + 1) * stripe); i++)
                    Put(buffer, i, type, (isNorm ? 1 : 0) + (scale * Uniform(stream, first + i)));
            });
            file.Write(buffer, 0, size * bytes);
        }
    }

    private static void Put(byte[] buffer, int index, string type, float value)
    {
        switch (type)
        {
            case "F32":
                MemoryMarshal.Cast<byte, float>(buffer.AsSpan())[index] = value;
                break;
            case "F16":
                MemoryMarshal.Cast<byte, Half>(buffer.AsSpan())[index] = (Half)value;
                break;
            default:
                uint bits = BitConverter.SingleToUInt32Bits(value);
                MemoryMarshal.Cast<byte, ushort>(buffer.AsSpan())[index] = (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
                break;
        }
    }

    // SplitMix64 of (stream, index), in [-1, 1).
    private static float Uniform(ulong stream, long index)
    {
        ulong x = (stream * 0xD1B54A32D192ED03) + (((ulong)index + 1) * 0x9E3779B97F4A7C15);
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        x ^= x >> 31;
        return ((long)(x >> 40) - (1L << 23)) / (float)(1L << 23);
    }
}
