using System.Text;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The texts of several sequences of one request.</summary>
public sealed class TextChoiceTests
{
    private static readonly ModelTokenizer Bytes = SmallTokenizers.Bytes();
    private readonly List<int> _cancelledOnes = [];
    private int _cancels;

    [Fact]
    public async Task Every_output_has_its_own_text_whatever_the_order_of_the_tokens()
    {
        Random random = new(11);
        for (int round = 0; round < 200; round++)
        {
            string[] outputs = [.. Enumerable.Range(0, random.Next(1, 9)).Select(i => $"{i}:é😀{new string('x', random.Next(0, 30))}")];
            List<TextEvent> events = await RunAsync(Shuffled(outputs, random), outputs.Length, new TextOptions());
            for (int i = 0; i < outputs.Length; i++)
            {
                Assert.Equal(outputs[i], Text(events, i));
                Assert.Equal(FinishReason.Length, Assert.Single(events, e => e.Index == i && e.FinishReason != FinishReason.None).FinishReason);
            }
            Assert.Equal(outputs.Sum(Encoding.UTF8.GetByteCount), _generation.CompletionTokenCount);
            Assert.Empty(_cancelledOnes);
            Assert.Equal(0, _cancels);
        }
    }

    [Fact]
    public async Task A_stop_text_ends_its_own_output_only()
    {
        List<TokenEvent> tokens = Interleaved("one STOP and more", "two goes on to its end", "three STOP");
        List<TextEvent> events = await RunAsync(tokens, 3, new TextOptions { Stop = ["STOP"] });
        Assert.Equal(["one ", "two goes on to its end", "three "], Enumerable.Range(0, 3).Select(i => Text(events, i)));
        Assert.Equal([FinishReason.Stop, FinishReason.Length, FinishReason.Stop], Enumerable.Range(0, 3).Select(i => Last(events, i).FinishReason));
        Assert.Equal([0, 2], _cancelledOnes);
    }

    [Fact]
    public async Task What_a_stopped_sequence_still_draws_is_neither_shown_nor_counted()
    {
        // It learns of its end a step late: one more token, then the engine's own last event.
        TokenEvent[] tokens = [Token(0, '!'), Token(0, 'x'), End(0, FinishReason.Cancelled), Token(1, 'a'), End(1, FinishReason.Length)];
        List<TextEvent> events = await RunAsync(tokens, 2, new TextOptions { Stop = ["!"] });
        Assert.Equal(FinishReason.Stop, Assert.Single(events, e => e.Index == 0).FinishReason);
        Assert.Equal("a", Text(events, 1));
        Assert.Equal(2, _generation.CompletionTokenCount);
    }

    [Fact]
    public async Task When_the_last_output_ends_at_a_stop_text_the_generation_is_cancelled()
    {
        List<TextEvent> events = await RunAsync([End(0, FinishReason.Length), Token(1, '!'), Token(1, '?')], 2, new TextOptions { Stop = ["!"] });
        Assert.Equal(FinishReason.Stop, events[^1].FinishReason);
        Assert.Equal(1, _cancels);
        Assert.Empty(_cancelledOnes);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Awaiting_the_end_reads_what_the_engine_reports_last(int count)
    {
        bool readToTheEnd = false;
        async IAsyncEnumerable<TokenEvent> Source()
        {
            for (int i = 0; i < count; i++)
                yield return Token(i, '!');
            await Task.Yield();
            for (int i = 0; i < count; i++)
            {
                readToTheEnd = i == count - 1;
                yield return End(i, FinishReason.Cancelled);
            }
        }
        TextOptions options = new() { Stop = ["!"], AwaitsEnd = true };
        TextGeneration generation = new(Source(), count, () => _cancels++, _cancelledOnes.Add, Bytes, options);
        List<TextEvent> events = [];
        await foreach (TextEvent next in generation)
            events.Add(next);
        Assert.True(readToTheEnd);
        Assert.Equal(count, events.Count);
        Assert.Equal(Enumerable.Range(0, count), _cancelledOnes);
        Assert.Equal(0, _cancels);
    }

    [Fact]
    public async Task Leaving_early_cancels_everything_once()
    {
        TextGeneration generation = new(Source(Interleaved("aaa", "bbb")), 2, () => _cancels++, _cancelledOnes.Add, Bytes, new TextOptions());
        await foreach (TextEvent _ in generation)
            break;
        Assert.Equal(1, _cancels);
        Assert.Empty(_cancelledOnes);
    }

    [Fact]
    public async Task The_best_outputs_come_whole_and_best_first()
    {
        // Sums: a 3 x -1, b 2 x -0.25, c -2, d 2 x -0.25: b and d are equal, the earlier one is better.
        TokenEvent[] tokens =
        [
            Token(0, 'a', -1), Token(1, 'b', -0.25f), Token(2, 'c', -2), Token(3, 'd', -0.25f),
            Token(0, 'a', -1), Token(1, 'b', -0.25f), Token(3, 'd', -0.25f), End(2, FinishReason.Length),
            Token(0, 'a', -1), End(1, FinishReason.Length), End(3, FinishReason.Length), End(0, FinishReason.Length),
        ];
        List<TextEvent> events = await RunAsync(tokens, 4, new TextOptions { KeepBest = 3 });
        Assert.Equal(["bb", "dd", "c"], events.Select(static e => e.Text));
        Assert.Equal([0, 1, 2], events.Select(static e => e.Index));
        Assert.All(events, static e => Assert.Equal(e.Text.Length, e.Tokens.Count));
        Assert.All(events, static e => Assert.Equal(e.Text.Length, e.CompletionTokenCount));
        Assert.Equal(8, _generation.CompletionTokenCount);
    }

    [Fact]
    public async Task What_a_stop_text_cuts_off_does_not_count_for_the_best()
    {
        TokenEvent[] tokens =
        [
            Token(0, 'a', -1), Token(0, '!', -100), Token(1, 'b', -2), Token(1, 'b', -2), End(1, FinishReason.Length),
        ];
        List<TextEvent> events = await RunAsync(tokens, 2, new TextOptions { Stop = ["!"], KeepBest = 1 });
        Assert.Equal("a", Assert.Single(events).Text);
    }

    [Fact]
    public async Task The_token_that_ends_an_output_counts_for_the_best()
    {
        TokenEvent end = new() { Index = 0, TokenId = -1, StopTokenId = 'z', Logprob = -9, FinishReason = FinishReason.Stop };
        TokenEvent[] tokens = [Token(0, 'a', -1), end, Token(1, 'b', -2), End(1, FinishReason.Length)];
        List<TextEvent> events = await RunAsync(tokens, 2, new TextOptions { KeepBest = 1 });
        Assert.Equal("b", Assert.Single(events).Text);
    }

    [Fact]
    public async Task Impossible_outputs_are_the_worst()
    {
        TokenEvent[] tokens = [Token(0, 'a', float.NegativeInfinity), End(0, FinishReason.Length), Token(1, 'b', float.NaN), End(1, FinishReason.Length),
            Token(2, 'c', -1000), End(2, FinishReason.Length)];
        List<TextEvent> events = await RunAsync(tokens, 3, new TextOptions { KeepBest = 2 });
        Assert.Equal(["c", "a"], events.Select(static e => e.Text));
    }

    [Fact]
    public async Task A_failure_of_one_that_might_have_been_the_best_fails_the_request()
    {
        TokenEvent[] tokens = [Token(0, 'a'), Token(2, 'c'), End(2, FinishReason.Error), Token(0, 'a')];
        List<TextEvent> events = await RunAsync(tokens, 3, new TextOptions { KeepBest = 1 });
        Assert.Equal((0, FinishReason.Error), (events[^1].Index, Assert.Single(events).FinishReason));
        Assert.Equal(1, _cancels);
    }

    [Fact]
    public void An_empty_stop_text_is_refused() => Assert.Throws<ArgumentException>(static () => new TextOptions { Stop = ["a", ""] });

    private TextGeneration _generation = null!;

    private async Task<List<TextEvent>> RunAsync(IReadOnlyList<TokenEvent> tokens, int count, TextOptions options)
    {
        _generation = new TextGeneration(Source(tokens), count, () => _cancels++, _cancelledOnes.Add, Bytes, options);
        List<TextEvent> events = [];
        await foreach (TextEvent next in _generation)
            events.Add(next);
        return events;
    }

    private static string Text(List<TextEvent> events, int index) =>
        string.Concat(events.Where(e => e.Index == index).Select(static e => e.Text));

    private static TextEvent Last(List<TextEvent> events, int index) => events.Last(e => e.Index == index);

    private static TokenEvent Token(int index, int id, float logprob = -1) =>
        new() { Index = index, TokenId = id, StopTokenId = -1, Logprob = logprob };

    private static TokenEvent End(int index, FinishReason reason) =>
        new() { Index = index, TokenId = -1, StopTokenId = -1, FinishReason = reason };

    /// <summary>One token of each in turn, then their ends.</summary>
    private static List<TokenEvent> Interleaved(params string[] outputs)
    {
        List<TokenEvent> tokens = [];
        for (int at = 0; at < outputs.Max(static o => o.Length); at++)
            for (int i = 0; i < outputs.Length; i++)
                if (at < outputs[i].Length)
                    tokens.Add(Token(i, outputs[i][at]));
        return [.. tokens, .. outputs.Select(static (_, i) => End(i, FinishReason.Length))];
    }

    private static List<TokenEvent> Shuffled(string[] outputs, Random random)
    {
        List<Queue<TokenEvent>> left = [.. outputs.Select(static (text, i) => new Queue<TokenEvent>(
            [.. Encoding.UTF8.GetBytes(text).Select(value => Token(i, value)), End(i, FinishReason.Length)]))];
        List<TokenEvent> tokens = [];
        while (left.Count > 0)
        {
            Queue<TokenEvent> from = left[random.Next(left.Count)];
            tokens.Add(from.Dequeue());
            if (from.Count == 0)
                left.Remove(from);
        }
        return tokens;
    }

    private static async IAsyncEnumerable<TokenEvent> Source(IReadOnlyList<TokenEvent> tokens)
    {
        foreach (TokenEvent token in tokens)
        {
            await Task.Yield();
            yield return token;
        }
    }
}
