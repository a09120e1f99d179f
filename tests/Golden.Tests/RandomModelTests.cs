using NativeLM.Benchmarks;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The random models of the benchmarks.</summary>
public sealed class RandomModelTests
{
    [Fact]
    public void The_same_seed_writes_the_same_bytes_and_another_seed_others()
    {
        using TemporaryFolder first = new(), second = new(), third = new();
        Runners.WriteRandom(first, seed: 5);
        Runners.WriteRandom(second, seed: 5);
        Runners.WriteRandom(third, seed: 6);
        byte[] weights = File.ReadAllBytes(first["model.safetensors"]);
        Assert.Equal(weights, File.ReadAllBytes(second["model.safetensors"]));
        Assert.NotEqual(weights, File.ReadAllBytes(third["model.safetensors"]));
    }

    [Fact]
    public void Its_tokenizer_fills_the_vocabulary_and_gives_text_back()
    {
        using TemporaryFolder folder = new();
        RandomTokenizer.Write(folder.Path, 2000);
        ModelTokenizer tokenizer = ModelTokenizer.Load(folder.Path);
        Assert.Equal(2000, tokenizer.VocabularySize);
        const string text = "abc some words, Größe 12\n";
        Assert.Equal(text, tokenizer.Decode([.. tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false)]));
        Assert.Equal("ab", tokenizer.Decode([tokenizer.Encode("ab", addSpecialTokens: false, parseSpecialTokens: false)[0]]));
        Assert.NotNull(ChatTemplate.TryLoad(folder.Path));
    }
}
