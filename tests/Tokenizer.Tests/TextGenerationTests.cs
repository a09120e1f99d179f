using System.Globalization;
using System.Text;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

public sealed class TextGenerationTests
{
    // A byte-level vocabulary of the 256 bytes alone: every stop text spans tokens, every accent spans code units.
    private static readonly ModelTokenizer Bytes = SmallTokenizers.Bytes();

    [Theory]
    [InlineData("Hello END world", "END", false, "Hello ", "END")]
    [InlineData("Hello END world", "END", true, "Hello END", "END")]
    [InlineData("aaab", "aab", false, "a", "aab")]
    [InlineData("ababac", "abac", false, "ab", "abac")]
    [InlineData("no stop here", "stopping", false, "no stop here", null)]
    [InlineData("x😀y", "😀", false, "x", "😀")]
    [InlineData("tail EN", "END", false, "tail EN", null)]
    [InlineData("one two", "two,one t", false, "", "one t")]
    public async Task The_text_ends_at_the_first_stop_text_whatever_the_token_borders(string output, string stops, bool include, string expected, string? stop)
    {
        var options = new TextOptions { Stop = stops.Split(','), IncludeStop = include };
        (List<TextEvent> events, bool cancelled) = await Run(Bytes, Tokens(output), options);
        Assert.Equal(expected, string.Concat(events.Select(item => item.Text)));
        Assert.Equal(stop, events[^1].StopString);
        Assert.Equal(stop is null ? FinishReason.Length : FinishReason.Stop, events[^1].FinishReason);
        Assert.Equal(stop is not null, cancelled);
        Assert.All(events.SkipLast(1), item => Assert.Equal(FinishReason.None, item.FinishReason));
    }

    [Fact]
    public async Task What_may_become_a_stop_text_is_held_back_until_it_cannot()
    {
        (List<TextEvent> events, _) = await Run(Bytes, Tokens("a\nUseful"), new TextOptions { Stop = ["\nUser:"] });
        Assert.Equal(["a", "\nUsef", "u", "l"], events.Select(item => item.Text).Where(text => text.Length > 0));
        Assert.Equal(6, events[1].CompletionTokenCount);
        Assert.Equal([1, 2, 3, 4, 5], events[1].Tokens.Select(token => token.TextOffset));
    }

    [Fact]
    public async Task No_event_ends_inside_a_code_point_and_an_incomplete_end_becomes_U_FFFD()
    {
        int[] ids = [.. Encoding.UTF8.GetBytes("aé😀").Select(value => (int)value), 0xF0, 0x9F];
        (List<TextEvent> events, _) = await Run(Bytes, [.. ids], new TextOptions());
        Assert.Equal(["a", "é", "😀", "\uFFFD"], events.Select(item => item.Text).Where(text => text.Length > 0));
        Assert.Equal(ids.Length, events.Sum(item => item.Tokens.Count));
    }

    [Fact]
    public async Task Tokens_behind_the_stop_text_are_counted_but_not_reported()
    {
        (List<TextEvent> events, _) = await Run(Bytes, Tokens("ab!!"), new TextOptions { Stop = ["!!"] });
        Assert.Equal([(int)'a', 'b'], events.SelectMany(item => item.Tokens).Select(token => token.Token.TokenId));
        Assert.Equal(4, events[^1].CompletionTokenCount);
    }

    [Fact]
    public async Task A_stop_token_ends_the_text_and_is_named()
    {
        TokenEvent[] tokens = [new() { TokenId = 'a', StopTokenId = -1 }, new() { TokenId = -1, StopTokenId = 'z', FinishReason = FinishReason.Stop }];
        (List<TextEvent> plain, bool cancelled) = await Run(Bytes, tokens, new TextOptions());
        Assert.Equal(("a", (int)'z', FinishReason.Stop), (string.Concat(plain.Select(item => item.Text)), plain[^1].StopTokenId, plain[^1].FinishReason));
        Assert.False(cancelled);
        (List<TextEvent> included, _) = await Run(Bytes, tokens, new TextOptions { IncludeStop = true });
        Assert.Equal("az", string.Concat(included.Select(item => item.Text)));
    }

    [Fact]
    public async Task Leaving_the_enumeration_early_cancels_the_generation()
    {
        int cancels = 0;
        var generation = new TextGeneration(Source([.. Tokens("abc")]), () => cancels++, Bytes, new TextOptions());
        await foreach (TextEvent item in generation)
            break;
        Assert.Equal(1, cancels);
    }

    [Fact]
    public async Task A_failure_is_passed_on_with_its_message()
    {
        TokenEvent[] tokens = [new() { TokenId = 'a' }, new() { TokenId = -1, FinishReason = FinishReason.Error, Error = "logits are not finite" }];
        (List<TextEvent> events, _) = await Run(Bytes, tokens, new TextOptions());
        Assert.Equal((FinishReason.Error, "logits are not finite"), (events[^1].FinishReason, events[^1].Error));
    }

    [Fact]
    public async Task Random_outputs_and_stop_texts_end_where_a_plain_search_says()
    {
        var random = new Random(7);
        for (int round = 0; round < 2_000; round++)
        {
            string Draw(int length) => string.Concat(Enumerable.Range(0, length).Select(_ => "aébc"[random.Next(3)]));
            string output = Draw(random.Next(0, 24));
            string[] stops = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Draw(random.Next(1, 5)))];
            (List<TextEvent> events, _) = await Run(Bytes, Tokens(output), new TextOptions { Stop = stops });
            // The first position at which some stop text is complete; of those that end there, the longest.
            int end = Enumerable.Range(1, output.Length).FirstOrDefault(at => stops.Any(stop => output[..at].EndsWith(stop, StringComparison.Ordinal)));
            string expected = end == 0 ? output
                : output[..(end - stops.Where(stop => output[..end].EndsWith(stop, StringComparison.Ordinal)).Max(stop => stop.Length))];
            Assert.True(expected == string.Concat(events.Select(item => item.Text)),
                string.Create(CultureInfo.InvariantCulture, $"round {round}: '{output}' stops {string.Join('|', stops)}"));
        }
    }

    private static TokenEvent[] Tokens(string output)
    {
        TokenEvent[] tokens = [.. Encoding.UTF8.GetBytes(output).Select(value => new TokenEvent { TokenId = value, StopTokenId = -1 })];
        return [.. tokens, new TokenEvent { TokenId = -1, StopTokenId = -1, FinishReason = FinishReason.Length }];
    }

    private static Task<(List<TextEvent> Events, bool Cancelled)> Run(ModelTokenizer tokenizer, int[] ids, TextOptions options) => Run(tokenizer,
        [.. ids.Select((id, i) => new TokenEvent { TokenId = id, StopTokenId = -1, FinishReason = i == ids.Length - 1 ? FinishReason.Length : FinishReason.None })],
        options);

    private static async Task<(List<TextEvent> Events, bool Cancelled)> Run(ModelTokenizer tokenizer, TokenEvent[] tokens, TextOptions options)
    {
        bool cancelled = false;
        var events = new List<TextEvent>();
        await foreach (TextEvent item in new TextGeneration(Source(tokens), () => cancelled = true, tokenizer, options))
            events.Add(item);
        return (events, cancelled);
    }

    private static async IAsyncEnumerable<TokenEvent> Source(TokenEvent[] tokens)
    {
        foreach (TokenEvent token in tokens)
        {
            await Task.Yield();
            yield return token;
        }
    }
}
