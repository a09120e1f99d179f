using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>What a loop that launches a step before it has the tokens of the one before may cost, and what it may not.</summary>
public sealed class PlannedAheadTests
{
    [Fact]
    public async Task A_stop_at_any_position_costs_one_row_and_shows_no_surplus_token()
    {
        for (int stop = 0; stop < 20; stop++)
        {
            ScriptedExecutor executor = new() { Next = sequence => sequence.OutputCount == stop ? 77 : 50 };
            await using LlmEngine engine = TestEngine.Start(isAsync: true, executor);
            List<TokenEvent> events = await engine.Submit(TestEngine.Request(maxTokens: 40, sampling: new SamplingParams { StopTokenIds = [77] })).ReadAll();
            Assert.Equal([.. Enumerable.Repeat(50, stop), -1], events.Select(e => e.TokenId));
            Assert.Equal((FinishReason.Stop, 77), (events[^1].FinishReason, events[^1].StopTokenId));
            await engine.BecomesIdle();
            Assert.Equal((1L, 0), (engine.Metrics.DroppedRows.Value, engine.UsedBlocks()));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(20)]
    public async Task The_length_is_known_in_advance_so_no_row_is_wasted_on_it(int length)
    {
        ScriptedExecutor executor = new();
        await using LlmEngine engine = TestEngine.Start(isAsync: true, executor);
        Assert.Equal(length, (await engine.Submit(TestEngine.Request(maxTokens: length)).ReadAll()).Count);
        await engine.BecomesIdle();
        Assert.Equal((0L, length), (engine.Metrics.DroppedRows.Value, executor.StepCount));
    }

    [Fact]
    public async Task The_next_step_starts_before_the_last_one_is_read()
    {
        int inFlight = 0, most = 0;
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ => most = Math.Max(most, ++inFlight),
            BeforeCollect = _ => inFlight--,
        };
        await using (LlmEngine engine = TestEngine.Start(isAsync: true, executor))
            await engine.Submit(TestEngine.Request(maxTokens: 20)).ReadAll();
        Assert.Equal((0, 2), (inFlight, most));
    }

    [Fact]
    public async Task Both_orders_give_the_same_events()
    {
        async Task<string[]> Run(bool isAsync)
        {
            using ManualResetEventSlim gate = new(false);
            ScriptedExecutor executor = new()
            {
                BeforeStep = _ => gate.Wait(TimeSpan.FromSeconds(10)),
                Next = static sequence => (sequence.Tokens[0] * 31 + sequence.TokenCount * 17) % 97,
                AfterRow = static (in row, ref sampled) => sampled.Failed = row.Sequence.Arrival % 7 == 3 && row.Sequence.OutputCount == 5,
            };
            await using LlmEngine engine = TestEngine.Start(isAsync, executor, blocks: 14, tokens: 11);
            Generation[] generations = [.. Enumerable.Range(0, 30).Select(i => engine.Submit(TestEngine.Request(1 + i, 20 + i % 13, 100 + i)))];
            gate.Set();
            List<TokenEvent>[] events = await Task.WhenAll(generations.Select(g => g.ReadAll()));
            Assert.True(engine.Metrics.Preemptions.Value > 0);
            return [.. events.Select(list => string.Join(' ', list.Select(e => $"{e.TokenId}/{e.StopTokenId}/{e.FinishReason}")))];
        }
        Assert.Equal(await Run(isAsync: false), await Run(isAsync: true));
    }
}
