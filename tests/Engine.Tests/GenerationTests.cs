using System.Collections.Concurrent;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

public abstract class GenerationTests(bool isAsync)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10); // a held step goes on after it, so that a failed test can end

    [Fact]
    public async Task A_generation_gives_its_tokens_in_order_and_ends_once()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor());
        List<TokenEvent> events = await engine.Submit(TestEngine.Request(promptCount: 4, maxTokens: 6, first: 100)).ReadAll();
        Assert.Equal([114, 115, 116, 117, 118, 119], events.Select(e => e.TokenId));
        Assert.Equal(FinishReason.Length, events[^1].FinishReason);
        Assert.All(events[..^1], e => Assert.Equal(FinishReason.None, e.FinishReason));
    }

    [Fact]
    public async Task A_stop_token_is_reported_apart_from_the_output()
    {
        ScriptedExecutor executor = new() { Next = sequence => sequence.OutputCount == 2 ? 77 : 50 };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        List<TokenEvent> events = await engine.Submit(TestEngine.Request(sampling: new SamplingParams { StopTokenIds = [77] })).ReadAll();
        Assert.Equal([50, 50, -1], events.Select(e => e.TokenId));
        Assert.Equal((FinishReason.Stop, 77), (events[^1].FinishReason, events[^1].StopTokenId));
    }

    [Fact]
    public async Task Eos_ends_unless_ignored()
    {
        ScriptedExecutor executor = new() { Next = _ => 2 };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        List<TokenEvent> stops = await engine.Submit(TestEngine.Request()).ReadAll();
        List<TokenEvent> goesOn = await engine.Submit(TestEngine.Request(sampling: new SamplingParams { IgnoreEos = true })).ReadAll();
        Assert.Equal(FinishReason.Stop, Assert.Single(stops).FinishReason);
        Assert.Equal(8, goesOn.Count);
    }

    [Fact]
    public async Task Without_a_limit_it_goes_on_to_the_end_of_the_context()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor(), context: 40);
        Assert.Equal(30, (await engine.Submit(TestEngine.Request(promptCount: 10, maxTokens: null)).ReadAll()).Count);
    }

    [Fact]
    public async Task Cancelling_a_stream_frees_every_block()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor());
        Generation generation = engine.Submit(TestEngine.Request(maxTokens: null, sampling: new SamplingParams { IgnoreEos = true }));
        int read = 0;
        await foreach (TokenEvent token in generation)
            if (++read == 3)
                break; // disposes the enumerator
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task A_cancelled_generation_ends_with_cancelled_and_keeps_its_tokens()
    {
        using SemaphoreSlim steps = new(isAsync ? 4 : 3); // three are collected
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => steps.Wait(Patience) });
        Generation generation = engine.Submit(TestEngine.Request(maxTokens: 50));
        await using IAsyncEnumerator<TokenEvent> reader = generation.GetAsyncEnumerator();
        for (int i = 0; i < 3; i++)
            Assert.True(await reader.MoveNextAsync());
        generation.Cancel();
        generation.Cancel();
        steps.Release(100);
        TokenEvent last = default;
        while (await reader.MoveNextAsync())
            last = reader.Current;
        Assert.Equal((FinishReason.Cancelled, -1), (last.FinishReason, last.TokenId));
        generation.Cancel(); // after the end: nothing happens
    }

    [Fact]
    public async Task Cancelling_the_token_of_the_reader_ends_the_request()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => Thread.Sleep(1) });
        using CancellationTokenSource source = new();
        Generation generation = engine.Submit(TestEngine.Request(maxTokens: null));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (TokenEvent _ in generation.WithCancellation(source.Token))
                source.Cancel();
        });
        await engine.BecomesIdle();
        Assert.Equal((0, 1L), (engine.UsedBlocks(), engine.Metrics.Ended(FinishReason.Cancelled).Value));
    }

    [Fact]
    public async Task A_reader_that_never_reads_is_cut_off_and_delays_nobody()
    {
        using SemaphoreSlim steps = new(100); // the engine is never more than 100 steps ahead of the reader that reads
        using ManualResetEventSlim gate = new(false); // both begin together, or the first would use up the steps
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ =>
            {
                gate.Wait(Patience);
                steps.Wait(Patience);
            },
        };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor, blocks: 1025, context: 4096);
        Generation unread = engine.Submit(TestEngine.Request(maxTokens: 3000));
        Generation read = engine.Submit(TestEngine.Request(maxTokens: 2000));
        gate.Set();
        int count = 0;
        await foreach (TokenEvent _ in read)
        {
            count++;
            steps.Release();
        }
        Assert.Equal(2000, count);
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
        Assert.Equal(1, engine.Metrics.SlowReaders.Value);
        List<TokenEvent> events = await unread.ReadAll();
        Assert.Equal(Generation.UnreadEventsMax + 1, events.Count);
        Assert.Equal(FinishReason.Cancelled, events[^1].FinishReason);
        Assert.NotNull(events[^1].Error);
    }

    [Fact]
    public async Task Events_are_read_once()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor());
        Generation generation = engine.Submit(TestEngine.Request());
        await generation.ReadAll();
        Assert.Throws<InvalidOperationException>(() => generation.GetAsyncEnumerator());
    }

    [Fact]
    public async Task The_first_event_carries_the_prompt_logprobs()
    {
        ScriptedExecutor executor = new()
        {
            AfterRow = (in row, ref sampled) => sampled.PromptLogprobs =
                row.Start == 0 ? [new PromptLogprob(101, -1, 3, []), new PromptLogprob(102, -2, 4, [])] : null,
        };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        List<TokenEvent> events = await engine.Submit(TestEngine.Request(promptCount: 3, sampling: new SamplingParams { PromptLogprobs = 0 })).ReadAll();
        Assert.Equal([100, 101, 102], events[0].PromptLogprobs!.Select(entry => entry.TokenId));
        Assert.All(events[1..], e => Assert.Null(e.PromptLogprobs));
    }

    [Fact]
    public async Task Neighbours_and_preemption_change_no_token()
    {
        async Task<int[]> Alone(int i)
        {
            await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor(), blocks: 65);
            return [.. (await engine.Submit(TestEngine.Request(5 + i, 40, 100 + i)).ReadAll()).Select(e => e.TokenId)];
        }
        using ManualResetEventSlim gate = new(false);
        await using LlmEngine crowded = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => gate.Wait(Patience) }, blocks: 12, tokens: 9);
        Generation[] generations = [.. Enumerable.Range(0, 12).Select(i => crowded.Submit(TestEngine.Request(5 + i, 40, 100 + i)))];
        gate.Set();
        List<TokenEvent>[] outputs = await Task.WhenAll(generations.Select(g => g.ReadAll()));
        Assert.True(crowded.Metrics.Preemptions.Value > 0);
        for (int i = 0; i < outputs.Length; i++)
            Assert.Equal(await Alone(i), outputs[i].Select(e => e.TokenId));
    }

    [Fact]
    public async Task Ten_thousand_random_cancels_restore_the_pool_exactly()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor(), blocks: 65, sequences: 16, tokens: 32, queuedRequests: 64);
        ConcurrentDictionary<FinishReason, int> reasons = [];
        int ended = 0;
        await Parallel.ForEachAsync(Enumerable.Range(0, 10_000), new ParallelOptions { MaxDegreeOfParallelism = 40 }, async (i, _) =>
        {
            Random random = new(i);
            Generation generation = engine.Submit(TestEngine.Request(random.Next(1, 60), random.Next(20, 150), random.Next(100, 400)));
            int readsLeft = random.Next(-3, 30);
            bool byDispose = random.Next(2) == 0;
            if (readsLeft < 0)
                generation.Cancel(); // most likely while it waits
            TokenEvent last = default;
            await foreach (TokenEvent token in generation)
            {
                last = token;
                if (token.FinishReason != FinishReason.None)
                    Interlocked.Increment(ref ended);
                if (--readsLeft != 0)
                    continue;
                generation.Cancel();
                if (byDispose)
                    break;
            }
            reasons.AddOrUpdate(last.FinishReason, 1, static (_, count) => count + 1);
        });
        await engine.BecomesIdle();
        Assert.Equal(EngineState.Ready, engine.Health.State); // it checked all invariants before it went idle
        Assert.Equal((0, 0d), (engine.UsedBlocks(), engine.Metrics.QueueTokens.Value));
        Assert.Equal(10_000, Enum.GetValues<FinishReason>().Where(r => r != FinishReason.None).Sum(r => engine.Metrics.Ended(r).Value));
        Assert.True(reasons[FinishReason.Cancelled] > 100 && reasons[FinishReason.None] > 100, string.Join(", ", reasons));
        Assert.Equal(reasons.Where(r => r.Key != FinishReason.None).Sum(r => r.Value), ended);
    }
}

public sealed class GenerationTestsOneStepAtATime() : GenerationTests(isAsync: false);

public sealed class GenerationTestsOneStepAhead() : GenerationTests(isAsync: true);
