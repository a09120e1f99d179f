using NativeLM.Engine;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests;

public abstract class FailureTests(bool isAsync)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10); // a held step goes on after it, so that a failed test can end

    [Fact]
    public async Task A_failed_row_hurts_nobody_else()
    {
        ScriptedExecutor executor = new()
        {
            AfterRow = static (in row, ref sampled) => sampled.Failed = row.Sequence.Tokens[0] == 300 && row.Sequence.OutputCount == 2,
        };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        Generation bad = engine.Submit(TestEngine.Request(first: 300));
        Generation good = engine.Submit(TestEngine.Request(first: 100));
        List<TokenEvent> events = await bad.ReadAll();
        Assert.Equal((3, FinishReason.Error), (events.Count, events[^1].FinishReason));
        Assert.NotNull(events[^1].Error);
        Assert.Equal(8, (await good.ReadAll()).Count);
        await engine.BecomesIdle();
        Assert.Equal((0, 1L), (engine.UsedBlocks(), engine.Metrics.FailedRows.Value));
    }

    [Fact]
    public async Task A_failed_step_ends_its_requests_and_the_engine_goes_on()
    {
        ScriptedExecutor executor = new();
        executor.BeforeStep = _ =>
        {
            if (executor.StepCount == 3)
            {
                executor.BeforeStep = null;
                throw new NativeException("nlm_gemm: injected");
            }
        };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        List<TokenEvent> events = await engine.Submit(TestEngine.Request()).ReadAll();
        // A step that was in flight when the next could not start is dropped with its request.
        Assert.Equal((isAsync ? 3 : 4, FinishReason.Error), (events.Count, events[^1].FinishReason));
        Assert.DoesNotContain("nlm_gemm", events[^1].Error); // the client learns no internals
        Assert.Equal(8, (await engine.Submit(TestEngine.Request()).ReadAll()).Count);
        await engine.BecomesIdle();
        Assert.Equal((EngineState.Ready, 0), (engine.Health.State, engine.UsedBlocks()));
    }

    [Fact]
    public async Task A_step_whose_results_cannot_be_read_ends_its_requests_and_the_engine_goes_on()
    {
        ScriptedExecutor executor = new();
        executor.BeforeCollect = _ =>
        {
            if (executor.StepCount >= 3)
            {
                executor.BeforeCollect = null;
                throw new NativeException("nlm_event_synchronize: injected");
            }
        };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        Assert.Equal(FinishReason.Error, (await engine.Submit(TestEngine.Request()).ReadAll())[^1].FinishReason);
        Assert.Equal(8, (await engine.Submit(TestEngine.Request()).ReadAll()).Count);
        await engine.BecomesIdle();
        Assert.Equal((EngineState.Ready, 0), (engine.Health.State, engine.UsedBlocks()));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lost_device_ends_everything_and_refuses_the_rest(bool atLaunch)
    {
        using ManualResetEventSlim gate = new(false);
        ScriptedExecutor executor = new() { BeforeStep = _ => gate.Wait(Patience) };
        void Lose()
        {
            if (executor.StepCount >= 4)
                throw new DeviceLostException("cuda error 700");
        }
        if (atLaunch)
            executor.BeforeStep += _ => Lose();
        else
            executor.BeforeCollect = _ => Lose();
        await using LlmEngine engine = TestEngine.Start(isAsync, executor, sequences: 2);
        Generation[] generations = [.. Enumerable.Range(0, 6).Select(_ => engine.Submit(TestEngine.Request(maxTokens: 50)))];
        gate.Set();
        foreach (Generation generation in generations)
            Assert.Equal(FinishReason.Error, (await generation.ReadAll())[^1].FinishReason);
        Assert.Equal(EngineState.Failed, engine.Health.State);
        Assert.False(engine.Health.IsReady);
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(TestEngine.Request()));
        Assert.Equal(RejectionKind.Unavailable, refused.Kind);
        await engine.DrainAsync(TimeSpan.FromSeconds(5));
        await engine.DisposeAsync();
        Assert.Equal(EngineState.Failed, engine.Health.State);
    }

    [Fact]
    public async Task An_executor_that_breaks_its_promise_stops_the_engine()
    {
        ScriptedExecutor executor = new() { AfterRow = static (in _, ref sampled) => sampled.Token = -1 };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        Assert.Equal(FinishReason.Error, Assert.Single(await engine.Submit(TestEngine.Request()).ReadAll()).FinishReason);
        Assert.Equal((EngineState.Failed, 1L), (engine.Health.State, engine.Metrics.InvariantFailures.Value));
    }

    [Fact]
    public async Task The_watchdog_ages_while_a_step_hangs_and_rests_when_idle()
    {
        using ManualResetEventSlim gate = new(true);
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor { BeforeStep = _ => gate.Wait(Patience) });
        await engine.Submit(TestEngine.Request()).ReadAll(); // from here on it is idle because it rests, not because it has not begun
        await engine.BecomesIdle();
        Assert.Equal(TimeSpan.Zero, engine.Health.WatchdogAge);
        gate.Reset();
        Generation generation = engine.Submit(TestEngine.Request());
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(10));
        while (engine.Health.WatchdogAge < TimeSpan.FromMilliseconds(20))
            await Task.Delay(1, limit.Token);
        gate.Set();
        await generation.ReadAll();
        await engine.BecomesIdle();
        Assert.Equal(TimeSpan.Zero, engine.Health.WatchdogAge);
    }
}

public sealed class FailureTestsOneStepAtATime() : FailureTests(isAsync: false);

public sealed class FailureTestsOneStepAhead() : FailureTests(isAsync: true);
