using System.Text;
using NativeLM.Engine;
using NativeLM.Engine.Models;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Reading config.json: published files, both key styles, rope variants.</summary>
public sealed class ModelConfigTests
{
    private const string Base = "\"architectures\":[\"ARCH\"],\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":4,"
        + "\"num_attention_heads\":4,\"vocab_size\":512,\"max_position_embeddings\":256";

    [Theory]
    [InlineData("Llama-3.1-8B-Instruct", 32, 8, 128, 131072, "Llama3", "128001 128008 128009")]
    [InlineData("Llama-3.2-1B-Instruct", 32, 8, 64, 131072, "Llama3", "128001 128008 128009")]
    [InlineData("llama-3-8b", 32, 8, 128, 8192, "Default", "128001")]
    [InlineData("Mistral-7B-Instruct-v0.3", 32, 8, 128, 32768, "Default", "2")]
    [InlineData("Qwen2.5-7B-Instruct", 28, 4, 128, 32768, "Default", "151645")]
    [InlineData("qwen3-8b", 32, 8, 128, 40960, "Default", "151645")]
    public void Published_configs_are_understood(string name, int heads, int kvHeads, int headDim, int positions, string rope, string eos)
    {
        ModelConfig config = ReadFile(TestData.Require($"configs/hf/{name}.config.json"));
        Assert.Equal((heads, kvHeads, headDim, positions, rope), (config.HeadCount, config.KvHeadCount, config.HeadDim, config.PositionsMax, config.Rope.Kind.ToString()));
        Assert.Equal(eos, string.Join(' ', config.EosTokenIds));
        Assert.Equal(ModelDType.BFloat16, config.CheckpointType);
        Assert.All(config.Windows, window => Assert.Equal(0, window));
    }

    [Theory]
    [InlineData("DeepSeek-V3", "DeepseekV3ForCausalLM")]
    [InlineData("gpt-oss-20b", "GptOssForCausalLM")]
    [InlineData("phi-4", "Phi3ForCausalLM")]
    [InlineData("qwen3-30b", "Qwen3MoeForCausalLM")]
    public void Architectures_that_are_not_built_in_are_refused_with_the_list_of_those_that_are(string name, string architecture)
    {
        string message = Assert.Throws<ModelLoadException>(() => ReadFile(TestData.Require($"configs/hf/{name}.config.json"))).Message;
        Assert.Contains(architecture, message, StringComparison.Ordinal);
        Assert.Contains("LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("MistralForCausalLM", "\"sliding_window\":24", "24 24 24 24")]
    [InlineData("MistralForCausalLM", "\"sliding_window\":null", "0 0 0 0")]
    [InlineData("LlamaForCausalLM", "\"sliding_window\":24", "0 0 0 0")]
    [InlineData("Qwen2ForCausalLM", "\"sliding_window\":24,\"max_window_layers\":1", "0 0 0 0")]
    [InlineData("Qwen2ForCausalLM", "\"use_sliding_window\":true,\"sliding_window\":24,\"max_window_layers\":1", "0 24 24 24")]
    [InlineData("Qwen3ForCausalLM", "\"use_sliding_window\":true,\"sliding_window\":24,\"layer_types\":[\"full_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\"]", "0 24 0 24")]
    public void Windows_follow_the_familys_rule(string architecture, string fields, string windows) =>
        Assert.Equal(windows, string.Join(' ', Read(architecture, fields).Windows));

    [Fact]
    public void Biases_follow_the_familys_rule()
    {
        ModelConfig llama = Read("LlamaForCausalLM", "\"attention_bias\":true"), qwen2 = Read("Qwen2ForCausalLM", "\"attention_bias\":false");
        Assert.True(llama is { HasQkvBias: true, HasOutputBias: true, HasMlpBias: false });
        Assert.True(qwen2 is { HasQkvBias: true, HasOutputBias: false, HasMlpBias: false });
    }

    [Theory]
    [InlineData("\"rope_theta\":5000,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}")]
    [InlineData("\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4,\"rope_theta\":5000}")]
    public void Both_styles_of_rope_keys_read_alike(string fields) =>
        Assert.Equal(new RopeConfig { Kind = RopeKind.Linear, Theta = 5000, Factor = 4, RotaryDim = 16 }, Read("LlamaForCausalLM", fields).Rope);

    [Theory]
    [InlineData("\"factor\":4", 1.138629436111989)]
    [InlineData("\"factor\":40,\"mscale\":1,\"mscale_all_dim\":1", 1)]
    [InlineData("\"factor\":4,\"attention_factor\":0.5", 0.5)]
    public void Yarns_attention_factor_follows_the_paper_or_the_file(string fields, double expected)
    {
        RopeConfig rope = Read("LlamaForCausalLM", $"\"rope_scaling\":{{\"rope_type\":\"yarn\",\"original_max_position_embeddings\":64,{fields}}}").Rope;
        Assert.Equal(expected, rope.AttentionFactor, 12);
    }

    [Fact]
    public void Rope_rows_hold_cosines_then_sines()
    {
        RopeConfig rope = new() { RotaryDim = 4, Theta = 100 };
        float[] rows = new float[8];
        RopeTable.Fill(rope, RopeTable.Frequencies(rope), firstPosition: 6, rows);
        float[] expected = [MathF.Cos(7), MathF.Cos(0.7f), MathF.Sin(7), MathF.Sin(0.7f)];
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], rows[4 + i], 1e-6f);
    }

    private static ModelConfig ReadFile(string path) => ModelConfig.FromHuggingFace(File.ReadAllBytes(path), path);

    private static ModelConfig Read(string architecture, string fields) =>
        ModelConfig.FromHuggingFace(Encoding.UTF8.GetBytes($"{{{Base.Replace("ARCH", architecture, StringComparison.Ordinal)},{fields}}}"), "config.json");
}
