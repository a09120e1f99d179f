using NativeLM.Engine.Tokenization;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The hand-written splitters against the patterns they stand for, run by the .NET engine.</summary>
public sealed class SplitterTests
{
    private static readonly string[] Alphabet =
        ["a", "B", "z", "é", "ß", "ǅ", "ʰ", "ª", "漢", "か", "ア", "\u0301", "\u0903", "1", "٣", "²", "Ⅷ", " ", " ", " ", "\n", "\r", "\t", "\u00A0", "\u3000", "'", "'s", "'LL",
         "'ſ", "!", ".", "-", "/", "€", "^", "😀", "𝐀", "𝟙", "𐐨", "\u200d", "\u0001", "\uE000", "_"];

    internal static readonly (string Name, PieceSplitter HandWritten, PieceSplitter Reference)[] Pairs =
    [
        ("gpt2", new Gpt2Splitter(), Regex(Gpt2Splitter.Pattern)),
        ("llama3", new Cl100kSplitter(3), Regex(Cl100kSplitter.Llama3Pattern)),
        ("qwen2", new Cl100kSplitter(1), Regex(Cl100kSplitter.Qwen2Pattern)),
        ("qwen3.5", new Cl100kSplitter(1, marksAreLetters: true), Regex(Cl100kSplitter.Qwen35Pattern)),
        ("o200k", new O200kSplitter(), Regex(O200kSplitter.Pattern)),
        ("deepseek", new DeepSeekSplitter(), new SplitterSequence([.. DeepSeekSplitter.Patterns.Select(Regex)])),
    ];

    [Fact]
    public void Hand_written_splitters_cut_where_their_patterns_cut()
    {
        var random = new Random(3);
        for (int round = 0; round < 3_000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 30)).Select(_ => Alphabet[random.Next(Alphabet.Length)]));
            // .NET's engine does not fold the long s; the references (Rust, Oniguruma) do, which the vectors of other projects cover.
            if (text.Contains('ſ', StringComparison.Ordinal))
                continue;
            foreach ((string name, PieceSplitter handWritten, PieceSplitter reference) in Pairs)
            {
                List<int> actual = [], expected = [];
                handWritten.Split(text, 0, text.Length, actual);
                reference.Split(text, 0, text.Length, expected);
                Assert.True(expected.SequenceEqual(actual),
                    $"{name}: '{text}': expected {string.Join(' ', expected)} actual {string.Join(' ', actual)}");
            }
        }
    }

    [Fact]
    public void Pieces_cover_any_text_also_one_with_lone_surrogates()
    {
        foreach (string text in (string[])["\ud800", "a\udc00b", "\ud800\ud800 \udc00", "\udc00\udc00", " \ud83d", "1\ud83d\n"])
            foreach ((string name, PieceSplitter handWritten, _) in Pairs)
            {
                List<int> ends = [];
                handWritten.Split(text, 0, text.Length, ends);
                Assert.True(ends[^1] == text.Length && ends.Zip(ends.Skip(1)).All(pair => pair.First < pair.Second), name);
            }
    }

    private static RegexSplitter Regex(string pattern) => new(pattern, SplitBehavior.Isolated, invert: false);
}
