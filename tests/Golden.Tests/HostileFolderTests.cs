using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using NativeLM.Benchmarks;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Whole model folders that are wrong, by hand and by thousands of seeded mutations.</summary>
public sealed class HostileFolderTests : IDisposable
{
    private const long ExtraBytesMax = 64 << 20;

    private static readonly RandomModelShape Shape = RandomModelShape.Tiny with
    {
        Layers = 1,
        Hidden = 16,
        Heads = 2,
        KvHeads = 1,
        HeadDim = 8,
        Mlp = 24,
        Vocabulary = 300,
        Type = "float32",
    };

    private static readonly string[] HostileValues =
    [
        "0", "-1", "1", "3", "7", "1e9", "1000000000", "2147483647", "2147483648", "-2147483648", "9223372036854775807", "18446744073709551616", "1e999",
        "0.5", "1e-30", "NaN", "null", "true", "false", "\"\"", "\"x\"", "[]", "[[]]", "[1,2,3]", "{}", "{\"rope_type\":\"yarn\"}",
        "{\"rope_type\":\"llama3\",\"factor\":0}", "{\"rope_type\":\"linear\",\"factor\":1e300}", "{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":1e9,\"beta_slow\":1e9}",
        "{\"rope_type\":\"default\",\"rope_theta\":0}", "\"" + new string('a', 100_000) + "\"",
    ];

    private readonly TemporaryFolder _folder = new();

    public HostileFolderTests() => Runners.WriteRandom(_folder, Shape);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("num_attention_heads", "0", "num_attention_heads")]
    [InlineData("num_key_value_heads", "3", "num_key_value_heads")]
    [InlineData("num_hidden_layers", "1000000000", "num_hidden_layers")]
    [InlineData("num_hidden_layers", "2", "model.layers.1")]
    [InlineData("vocab_size", "2147483648", "vocab_size")]
    [InlineData("vocab_size", "301", "model.embed_tokens.weight")]
    [InlineData("intermediate_size", "25", "mlp")]
    [InlineData("rope_theta", "0", "rope_theta")]
    [InlineData("rms_norm_eps", "\"NaN\"", "rms_norm_eps")]
    [InlineData("rms_norm_eps", "0", "rms_norm_eps")]
    [InlineData("max_position_embeddings", "2147483648", "max_position_embeddings")]
    [InlineData("eos_token_id", "300", "eos_token_id")]
    [InlineData("eos_token_id", "[1, 2, -1]", "eos_token_id")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act")]
    [InlineData("torch_dtype", "\"float8\"", "torch_dtype")]
    [InlineData("head_dim", "7", "head_dim")]
    [InlineData("attention_bias", "true", "q_proj.bias")]
    [InlineData("quantization_config", "{\"quant_method\":\"fp8\"}", "fp8")]
    [InlineData("architectures", "[\"DeepseekV3ForCausalLM\"]", "LlamaForCausalLM")]
    [InlineData("architectures", "[]", "LlamaForCausalLM")]
    [InlineData("rope_scaling", "{\"rope_type\":\"longrope\"}", "longrope")]
    [InlineData("rope_scaling", "{\"rope_type\":\"llama3\",\"factor\":8}", "low_freq_factor")]
    public void A_config_that_cannot_be_served_is_refused_by_field(string field, string value, string mention)
    {
        SetConfig(field, value);
        ModelLoadException error = Assert.Throws<ModelLoadException>(() => Runners.Load(_folder.Path).Dispose());
        Assert.Contains(mention, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_files_are_named()
    {
        Assert.Contains("no such folder", Message(_folder["nothing"]), StringComparison.Ordinal);
        Assert.Contains("found a file", Message(_folder["config.json"]), StringComparison.Ordinal);
        File.Delete(_folder["model.safetensors"]);
        Assert.Contains("model.safetensors", Message(_folder.Path), StringComparison.Ordinal);
        File.Delete(_folder["config.json"]);
        Assert.Contains("config.json", Message(_folder.Path), StringComparison.Ordinal);

        static string Message(string folder) => Assert.Throws<ModelLoadException>(() => Runners.Load(folder).Dispose()).Message;
    }

    [Theory]
    [InlineData(0x7fc00000u)]
    [InlineData(0x7f800000u)]
    [InlineData(0xff800000u)]
    public void A_weight_that_is_not_finite_is_found_wherever_it_lies(uint bits)
    {
        byte[] good = File.ReadAllBytes(_folder["model.safetensors"]);
        int start = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(good);
        Random random = new(1);
        for (int i = 0; i < 20; i++)
        {
            byte[] bad = (byte[])good.Clone();
            BinaryPrimitives.WriteUInt32LittleEndian(bad.AsSpan(start + (4 * random.Next((bad.Length - start) / 4))), bits);
            File.WriteAllBytes(_folder["model.safetensors"], bad);
            ModelLoadException error = Assert.Throws<ModelLoadException>(() => Runners.Load(_folder.Path).Dispose());
            Assert.Contains("not finite", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_weight_too_large_for_float16_is_refused_in_float16_only()
    {
        byte[] file = File.ReadAllBytes(_folder["model.safetensors"]);
        BinaryPrimitives.WriteSingleLittleEndian(file.AsSpan(file.Length - 4), 70000);
        File.WriteAllBytes(_folder["model.safetensors"], file);
        Assert.Throws<ModelLoadException>(() => Runners.Load(_folder.Path, options => options with { DType = ModelDType.Float16 }).Dispose());
        Runners.Load(_folder.Path).Dispose();
    }

    [Fact]
    public void Mutated_headers_load_or_give_a_typed_error_quickly()
    {
        byte[] good = File.ReadAllBytes(_folder["model.safetensors"]);
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(good);
        Random random = new(20261124);
        int refused = 0;
        for (int i = 0; i < 2000; i++)
        {
            File.WriteAllBytes(_folder["model.safetensors"], MutateFile(good, header, random));
            refused += LoadsOrRefuses($"header mutant {i}") ? 0 : 1;
        }
        Assert.InRange(refused, 1000, 2000);
    }

    [Fact]
    public void Mutated_configs_load_or_give_a_typed_error_quickly()
    {
        string good = File.ReadAllText(_folder["config.json"]);
        Random random = new(7);
        int refused = 0;
        for (int i = 0; i < 2000; i++)
        {
            File.WriteAllText(_folder["config.json"], MutateConfig(good, random));
            refused += LoadsOrRefuses($"config mutant {i}") ? 0 : 1;
        }
        Assert.InRange(refused, 1000, 2000);
    }

    private bool LoadsOrRefuses(string name)
    {
        long before = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
        bool loaded = true;
        try
        {
            using ModelRunner runner = Runners.Load(_folder.Path,
                options => options with { KvCacheMemoryBytes = 1 << 20, MaxBatchedTokens = 16, Threads = 1 });
            StepDriver driver = new(runner);
            driver.Add([1, 2, 3], new SamplingParams { Temperature = 1 }, 1);
            driver.Run();
        }
        catch (Exception error) when (error is ModelLoadException or EngineStartException)
        {
            loaded = false;
        }
        TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
        Assert.True(elapsed < TimeSpan.FromSeconds(1), $"{name}: took {elapsed.TotalSeconds:0.0} s");
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < ExtraBytesMax, $"{name}: allocated {allocated} bytes");
        return loaded;
    }

    private static byte[] MutateFile(byte[] good, int header, Random random)
    {
        byte[] file = (byte[])good.Clone();
        switch (random.Next(6))
        {
            case 0:
                return file[..random.Next(file.Length)];
            case 1:
                BinaryPrimitives.WriteInt64LittleEndian(file, random.NextInt64(-2, 2 * header));
                return file;
            case 2:
                return [.. file, .. new byte[random.Next(1, 100)]];
            case 3: // Another digit in a number.
                int digit = Array.FindIndex(file, random.Next(8, 8 + (header / 2)), value => value is >= (byte)'0' and <= (byte)'9');
                file[digit] = (byte)random.Next('0', '9' + 1);
                return file;
            case 4: // A piece of the header copied over another.
                int length = random.Next(1, 40), from = random.Next(8, 8 + header - length), to = random.Next(8, 8 + header - length);
                file.AsSpan(from, length).CopyTo(file.AsSpan(to));
                return file;
            default:
                for (int n = random.Next(1, 5); n > 0; n--)
                    file[random.Next(8 + header)] = (byte)random.Next(256);
                return file;
        }
    }

    private static string MutateConfig(string good, Random random)
    {
        if (random.Next(10) == 0)
            return good[..random.Next(good.Length)];
        JsonObject config = JsonNode.Parse(good)!.AsObject();
        string[] extra = ["rope_scaling", "rope_parameters", "sliding_window", "dtype", "attention_bias", "mlp_bias", "quantization_config",
            "partial_rotary_factor"];
        string[] names = [.. config.Select(pair => pair.Key), .. extra];
        string text = config.ToJsonString();
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            string name = names[random.Next(names.Length)];
            // As text, since no JSON library writes NaN or a repeated field.
            text = $"{text[..^1]},\"{name}\":{HostileValues[random.Next(HostileValues.Length)]}}}";
        }
        return text;
    }

    private void SetConfig(string field, string value)
    {
        JsonObject config = JsonNode.Parse(File.ReadAllText(_folder["config.json"]))!.AsObject();
        config[field] = JsonNode.Parse(value);
        File.WriteAllText(_folder["config.json"], config.ToJsonString(), new UTF8Encoding(false));
    }
}
