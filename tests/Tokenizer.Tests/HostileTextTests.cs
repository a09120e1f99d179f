using System.Text;
using FsCheck;
using FsCheck.Fluent;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

public sealed class HostileTextTests
{
    // Processor time: far above what is needed (the goal is 200 ms), far below what quadratic work would take.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(8);

    public static TheoryData<string> Families => ["gpt2", "llama-2", "llama-3", "qwen2", "deepseek-v4"];

    public static string[] Patterns { get; } = ["a", "A", " ", "\n", " \n", "\t", "1", "e\u0301", "\u0301", "😀", "漢", "!", "'", "a ", "<|", "<s", "\u00A0", "aA", "\uFFFF", "ab1 "];

    [Theory]
    [MemberData(nameof(Families))]
    public void A_megabyte_of_any_pattern_is_encoded_in_near_linear_time(string family)
    {
        ModelTokenizer tokenizer = Tokenizers.Get(family);
        foreach (string pattern in Patterns)
        {
            string text = Repeat(pattern, 1_000_000);
            TimeSpan start = ThreadTime.Now;
            int[] ids = tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false);
            TimeSpan took = ThreadTime.Now - start;
            TestContext.Current.SendDiagnosticMessage($"{family} '{pattern.ReplaceLineEndings("\\n")}': {ids.Length} ids in {took.TotalMilliseconds:F0} ms");
            Assert.True(took < Limit, $"{family}: 1 MB of '{pattern}' took {took.TotalSeconds:F1} s");
            Assert.NotEmpty(ids);
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_limit_ends_encoding_early_and_says_that_there_was_more(string family)
    {
        ModelTokenizer tokenizer = Tokenizers.Get(family);
        foreach (string pattern in Patterns)
        {
            int[] ids = tokenizer.Encode(Repeat(pattern, 1_000_000), addSpecialTokens: false, parseSpecialTokens: false, maxTokenCount: 500);
            Assert.True(ids.Length > 500, $"{family} '{pattern}': {ids.Length}");
        }
        string fits = "Hello, world! ";
        Assert.Equal(tokenizer.Encode(fits), tokenizer.Encode(fits, maxTokenCount: tokenizer.Encode(fits).Length));
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama-3")]
    [InlineData("deepseek-v4")]
    public void Decoding_what_was_encoded_gives_the_text_back(string family)
    {
        ModelTokenizer tokenizer = Tokenizers.Get(family);
        Prop.ForAll(ArbMap.Default.ArbFor<string>().Filter(text => text is not null && IsWellFormed(text)), text =>
        {
            int[] ids = tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false);
            return tokenizer.Decode(ids, skipSpecialTokens: false) == text && Streamed(tokenizer, ids) == text;
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Decoding_what_was_encoded_gives_the_text_back_with_byte_fallback()
    {
        ModelTokenizer tokenizer = ModelTokenizer.Parse(SmallTokenizers.MarkedJson());
        Prop.ForAll(ArbMap.Default.ArbFor<string>().Filter(text => text is not null && IsWellFormed(text) && !text.Contains('▁')), text =>
        {
            int[] ids = tokenizer.Encode(text, parseSpecialTokens: false);
            return ids[0] == 1 && tokenizer.Decode(ids) == text && Streamed(tokenizer, ids) == text;
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Decoding_any_ids_streamed_equals_decoding_them_at_once()
    {
        ModelTokenizer[] tokenizers = [SmallTokenizers.Bytes(["a b", "ab c"], "<end>"), ModelTokenizer.Parse(SmallTokenizers.MarkedJson())];
        Prop.ForAll(ArbMap.Default.ArbFor<int[]>().Filter(ids => ids is not null), ids => tokenizers.All(tokenizer =>
        {
            int[] folded = [.. ids.Select(id => (int)((uint)id % (uint)(tokenizer.VocabularySize + 2)))];
            return Streamed(tokenizer, folded) == tokenizer.Decode(folded);
        })).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Words_give_the_ids_that_one_piece_gives()
    {
        // The same file with a Metaspace that does not split: no words, one huge piece.
        ModelTokenizer words = ModelTokenizer.Parse(SmallTokenizers.MarkedJson());
        ModelTokenizer whole = ModelTokenizer.Parse(SmallTokenizers.MarkedJson().Replace("\"▁a b\"", "\"▁a b\",\"a ▁\"", StringComparison.Ordinal)
            .Replace("\"▁▁\":266", "\"▁▁\":266,\"a▁\":267", StringComparison.Ordinal));
        var random = new Random(11);
        for (int i = 0; i < 500; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(40)).Select(_ => "bc "[random.Next(3)]));
            Assert.Equal(whole.Encode(text), words.Encode(text));
        }
    }

    [Fact]
    public void Small_and_large_pieces_are_merged_alike()
    {
        // Merging is local: a piece of 40 bytes goes the small way, 41 the large one; a neutral byte at the end must change nothing else.
        ModelTokenizer tokenizer = SmallTokenizers.Bytes(["a b", "b a", "ab a", "a a", "aa b", "ab ab", "aba b"]);
        var random = new Random(5);
        for (int i = 0; i < 2_000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, 40).Select(_ => "ab"[random.Next(2)]));
            Assert.Equal([.. tokenizer.Encode(text), 'z'], tokenizer.Encode(text + "z"));
        }
    }

    private static string Streamed(ModelTokenizer tokenizer, int[] ids)
    {
        var text = new StringBuilder();
        IncrementalDetokenizer detokenizer = tokenizer.CreateDetokenizer(skipSpecialTokens: true);
        foreach (int id in ids)
        {
            ReadOnlySpan<char> part = detokenizer.Append(id);
            Assert.True(part.IsEmpty || !char.IsHighSurrogate(part[^1]));
            text.Append(part);
        }
        return text.Append(detokenizer.Finish()).ToString();
    }

    private static bool IsWellFormed(string text) => text.EnumerateRunes().Sum(rune => rune.Utf16SequenceLength) == text.Length && !text.Contains('\uFFFD');

    private static string Repeat(string pattern, int bytes)
    {
        int count = bytes / Encoding.UTF8.GetByteCount(pattern);
        return new StringBuilder(pattern.Length * count).Insert(0, pattern, count).ToString();
    }
}
