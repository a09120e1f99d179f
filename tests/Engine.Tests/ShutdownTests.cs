using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

public abstract class ShutdownTests(bool isAsync)
{
    [Fact]
    public async Task Draining_lets_requests_finish_and_refuses_new_ones()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => Thread.Sleep(1) });
        Generation generation = engine.Submit(TestEngine.Request(maxTokens: 20));
        ValueTask drain = engine.DrainAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(EngineState.Draining, engine.Health.State);
        Assert.Equal(RejectionKind.Unavailable, Assert.Throws<RequestRejectedException>(() => engine.Submit(TestEngine.Request())).Kind);
        Assert.Equal(FinishReason.Length, (await generation.ReadAll())[^1].FinishReason);
        await drain;
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task After_the_grace_what_is_left_is_cancelled()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => Thread.Sleep(5) }, sequences: 1);
        Generation running = engine.Submit(TestEngine.Request(maxTokens: 200));
        Generation waiting = engine.Submit(TestEngine.Request(maxTokens: 200));
        await engine.DrainAsync(TimeSpan.FromMilliseconds(50));
        Assert.Equal(FinishReason.Cancelled, (await running.ReadAll())[^1].FinishReason);
        Assert.Equal(FinishReason.Cancelled, (await waiting.ReadAll())[^1].FinishReason);
    }

    [Fact]
    public async Task Disposing_ends_every_stream_and_the_executor_and_can_be_repeated()
    {
        ScriptedExecutor executor = new() { BeforeStep = _ => Thread.Sleep(1) };
        LlmEngine engine = TestEngine.Start(isAsync, executor);
        Generation generation = engine.Submit(TestEngine.Request(maxTokens: 200));
        await engine.DisposeAsync();
        await engine.DisposeAsync();
        Assert.True(executor.IsDisposed);
        Assert.Equal(FinishReason.Cancelled, (await generation.ReadAll())[^1].FinishReason);
        Assert.Equal(EngineState.Stopped, engine.Health.State);
        generation.Cancel();
        Assert.Throws<RequestRejectedException>(() => engine.Submit(TestEngine.Request()));
    }

    [Fact]
    public async Task Requests_that_race_with_disposal_end_or_are_refused()
    {
        for (int round = 0; round < 50; round++)
        {
            LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor());
            Task[] clients = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
            {
                try
                {
                    while (true)
                        Assert.NotEqual(FinishReason.None, (await engine.Submit(TestEngine.Request()).ReadAll())[^1].FinishReason);
                }
                catch (RequestRejectedException refused) when (refused.Kind == RejectionKind.Unavailable)
                {
                }
            }))];
            await engine.DisposeAsync();
            await Task.WhenAll(clients).WaitAsync(TimeSpan.FromSeconds(10));
        }
    }
}

public sealed class ShutdownTestsOneStepAtATime() : ShutdownTests(isAsync: false);

public sealed class ShutdownTestsOneStepAhead() : ShutdownTests(isAsync: true);
