using System.Text;
using System.Text.Json;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Ids and texts of other implementations, byte for byte.</summary>
public sealed class EncodingVectorTests
{
    [Theory]
    [InlineData("llama-2", "llama-2")]
    [InlineData("phi-3", "phi-3")]
    [InlineData("gpt2", "gpt2")]
    [InlineData("opt", "opt")]
    [InlineData("deepseek-v4", "deepseek-v4")]
    [InlineData("qwen2", "qwen2.auto")]
    [InlineData("llama-3", "llama-3.tiktoken")]
    [InlineData("cl100k", "cl100k.tiktoken")]
    [InlineData("o200k", "o200k.tiktoken")]
    public void Encodes_hostile_texts_as_the_reference_does(string tokenizerName, string file)
    {
        string path = TestData.RequireGolden($"tokenizer_vectors/{file}.json");
        ModelTokenizer tokenizer = Tokenizers.Get(tokenizerName);
        bool ordinaryText = file.EndsWith(".tiktoken", StringComparison.Ordinal);
        var failures = new StringBuilder();
        int count = 0;
        foreach (JsonElement entry in Read(path).GetProperty("cases").EnumerateArray())
        {
            string text = entry.GetProperty("text").GetString()!;
            int[] ids = Ids(entry.GetProperty("ids"))!;
            int[] withoutSpecial = Ids(entry.GetProperty("ids_no_special")) ?? ids;
            Compare(failures, entry, text, withoutSpecial, tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: !ordinaryText));
            if (tokenizerName is "llama-2" or "phi-3" or "gpt2" or "deepseek-v4")
                Compare(failures, entry, text, ids, tokenizer.Encode(text));
            count++;
        }
        Assert.Equal(161, count);
        Assert.True(failures.Length == 0, failures.ToString());
    }

    [Theory]
    [InlineData("llama-2", "llama-2")]
    [InlineData("phi-3", "phi-3")]
    [InlineData("gpt2", "gpt2")]
    [InlineData("opt", "opt")]
    [InlineData("deepseek-v4", "deepseek-v4")]
    [InlineData("qwen2", "qwen2.auto")]
    [InlineData("llama-3", "llama-3.tiktoken")]
    [InlineData("o200k", "o200k.tiktoken")]
    public void Decodes_and_streams_as_the_reference_does(string tokenizerName, string file)
    {
        string path = TestData.RequireGolden($"tokenizer_vectors/{file}.json");
        ModelTokenizer tokenizer = Tokenizers.Get(tokenizerName);
        var failures = new StringBuilder();
        foreach (JsonElement entry in Read(path).GetProperty("cases").EnumerateArray())
        {
            string text = entry.GetProperty("text").GetString()!;
            int[] ids = Ids(entry.GetProperty("ids"))!;
            int[] withoutSpecial = Ids(entry.GetProperty("ids_no_special")) ?? ids;
            string decoded = entry.GetProperty("decode").GetString() ?? text;
            string skipping = entry.GetProperty("decode_skip").GetString() ?? decoded;
            string noSpecial = entry.GetProperty("decode_no_special").GetString() ?? decoded;
            Compare(failures, entry, "decode", decoded, tokenizer.Decode(ids, skipSpecialTokens: false));
            Compare(failures, entry, "decode_skip", skipping, tokenizer.Decode(ids, skipSpecialTokens: true));
            Compare(failures, entry, "decode_no_special", noSpecial, tokenizer.Decode(withoutSpecial, skipSpecialTokens: false));
            Stream(failures, entry, tokenizer, withoutSpecial, noSpecial);
        }
        Assert.True(failures.Length == 0, failures.ToString());
    }

    // The reference decodes every prefix anew, so its text may hold U+FFFD where a code point is not complete yet (with byte fallback it then
    // spoils the code points before it too); ours holds that end back. Where it holds none, both must agree at every step.
    private static void Stream(StringBuilder failures, JsonElement entry, ModelTokenizer tokenizer, int[] ids, string whole)
    {
        IncrementalDetokenizer detokenizer = tokenizer.CreateDetokenizer(skipSpecialTokens: false);
        var ours = new StringBuilder();
        string theirs = "";
        int step = 0;
        if (!entry.TryGetProperty("stream", out JsonElement stream)) // the longest cases have none
            return;
        foreach (JsonElement item in stream.EnumerateArray())
        {
            theirs = string.Concat(theirs.EnumerateRunes().Take(item[0].GetInt32())) + item[1].GetString();
            ours.Append(detokenizer.Append(ids[step++]));
            bool agrees = whole.StartsWith(ours.ToString(), StringComparison.Ordinal)
                && (theirs.Contains('\uFFFD', StringComparison.Ordinal) || theirs == ours.ToString());
            if (!agrees)
                failures.AppendLine($"{entry.GetProperty("name")}: stream step {step}: '{theirs}' / '{ours}'");
        }
        if (step > 0)
            Compare(failures, entry, "stream", whole, ours.Append(detokenizer.Finish()).ToString());
    }

    [Theory]
    [InlineData("llama-2", "llama-spm")]
    [InlineData("llama-3", "llama-bpe")]
    [InlineData("qwen2", "qwen2")]
    [InlineData("gpt2-plain", "gpt-2")]
    [InlineData("phi-3", "phi-3")]
    public void Encodes_the_cases_of_llama_cpp(string tokenizerName, string file)
    {
        string input = File.ReadAllText(TestData.Require($"tokenizer_vectors/llama.cpp/ggml-vocab-{file}.gguf.inp"));
        string[] output = File.ReadAllText(TestData.Require($"tokenizer_vectors/llama.cpp/ggml-vocab-{file}.gguf.out")).Split('\n');
        ModelTokenizer tokenizer = Tokenizers.Get(tokenizerName);
        string[] texts = input.Split("\n__ggml_vocab_test__\n");
        Assert.Equal(47, texts.Length);
        for (int i = 0; i < 47; i++)
        {
            int[] expected = [.. output[i].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
            Assert.True(expected.AsSpan().SequenceEqual(tokenizer.Encode(texts[i], addSpecialTokens: false)), $"case {i + 1}: {texts[i]}");
        }
    }

    [Theory]
    [InlineData("stories260K", "models/stories260K/tokenizer_vectors_generated.json")]
    public void Encodes_the_cases_of_stories260K(string tokenizerName, string file)
    {
        JsonElement cases = Read(TestData.Require(file));
        ModelTokenizer tokenizer = Tokenizers.Get(tokenizerName);
        foreach (JsonElement entry in cases.EnumerateArray())
            Assert.Equal(Ids(entry.GetProperty("ids_with_bos")), tokenizer.Encode(entry.GetProperty("text").GetString()!, parseSpecialTokens: false));
        Assert.Equal(1, tokenizer.BosId);
    }

    [Fact]
    public void Encodes_and_decodes_the_small_golden_tokenizer()
    {
        ModelTokenizer tokenizer = ModelTokenizer.Load(TestData.RequireGolden("tokenizer"));
        JsonElement goldens = Read(TestData.RequireGolden("tokenizer/tokenizer_goldens.json"));
        foreach (JsonElement entry in goldens.GetProperty("encode").EnumerateArray())
        {
            string text = entry.GetProperty("text").GetString()!;
            int[] ids = Ids(entry.GetProperty("ids"))!;
            Assert.Equal(ids, tokenizer.Encode(text));
            Assert.Equal(Ids(entry.GetProperty("ids_no_special")), tokenizer.Encode(text, addSpecialTokens: false));
            Assert.Equal(entry.GetProperty("decoded").GetString(), tokenizer.Decode(ids, skipSpecialTokens: false));
            Assert.Equal(entry.GetProperty("decoded_skip").GetString(), tokenizer.Decode(ids));
        }
        Assert.Equal(512, tokenizer.VocabularySize);
        Assert.Equal(2, tokenizer.EosId);
    }

    private static void Compare(StringBuilder failures, JsonElement entry, string text, int[] expected, int[] actual)
    {
        if (!expected.AsSpan().SequenceEqual(actual))
            failures.AppendLine($"{entry.GetProperty("name")}: {text}\n  expected {string.Join(' ', expected)}\n  actual   {string.Join(' ', actual)}");
    }

    private static void Compare(StringBuilder failures, JsonElement entry, string what, string expected, string actual)
    {
        if (expected != actual)
            failures.AppendLine($"{entry.GetProperty("name")}: {what}: expected '{expected}' actual '{actual}'");
    }

    private static int[]? Ids(JsonElement element) => element.ValueKind == JsonValueKind.Null ? null : [.. element.EnumerateArray().Select(id => id.GetInt32())];

    private static JsonElement Read(string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
        return document.RootElement.Clone();
    }
}
