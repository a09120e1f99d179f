using NativeLM.Engine;
using NativeLM.Engine.Diagnostics;
using Xunit;

namespace NativeLM.Tests;

public abstract class EngineLoopTests(bool isAsync)
{
    [Fact]
    public async Task A_steady_decode_step_allocates_nothing_on_the_engine_thread()
    {
        List<long> allocated = new(4096);
        ScriptedExecutor executor = new() { BeforeStep = _ => allocated.Add(GC.GetAllocatedBytesForCurrentThread()) };
        await using (LlmEngine engine = TestEngine.Start(isAsync, executor, blocks: 4097, sequences: 16, context: 2048))
            await Task.WhenAll(Enumerable.Range(0, 16).Select(i => engine.Submit(TestEngine.Request(4, 1000, 100 + i)).ReadAll()));
        // Steps 520 to 950: token arrays and block tables do not grow there. A reader that falls behind lets its channel grow, which is no
        // cost of the step: most steps must be free of it.
        long[] growth = [.. Enumerable.Range(520, 430).Select(step => allocated[step + 1] - allocated[step]).Order()];
        Assert.Equal(0, growth[growth.Length * 9 / 10]);
    }

    [Fact]
    public async Task An_idle_engine_uses_no_processor_and_wakes_at_once()
    {
        ScriptedExecutor executor = new();
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        await engine.BecomesIdle();
        long turns = engine.Metrics.Steps.Value;
        await Task.Delay(50);
        Assert.Equal(turns, engine.Metrics.Steps.Value);
        await engine.Submit(TestEngine.Request()).ReadAll().WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Requests_without_a_seed_get_different_ones_and_a_given_seed_is_kept()
    {
        HashSet<ulong> seeds = [];
        ScriptedExecutor executor = new() { BeforeStep = plan => seeds.Add(plan.Sequences[0].Sequence.Seed) };
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        for (int i = 0; i < 10; i++)
            await engine.Submit(TestEngine.Request(maxTokens: 1)).ReadAll();
        Assert.Equal(10, seeds.Count);
        await engine.Submit(TestEngine.Request(maxTokens: 1, sampling: new SamplingParams { Seed = 1234 })).ReadAll();
        Assert.Contains(1234UL, seeds);
    }

    [Fact]
    public async Task Metrics_add_up()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, new ScriptedExecutor());
        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => engine.Submit(TestEngine.Request(promptCount: 7, maxTokens: 9)).ReadAll()));
        Assert.Throws<RequestRejectedException>(() => engine.Submit(TestEngine.Request(promptCount: 0)));
        await engine.BecomesIdle();
        EngineMetrics metrics = engine.Metrics;
        Assert.Equal((35L, 45L), (metrics.PromptTokens.Value, metrics.GenerationTokens.Value));
        Assert.Equal(5, metrics.Ended(FinishReason.Length).Value);
        Assert.Equal(1, metrics.Rejected(RejectionKind.InvalidValue).Value);
        Assert.Equal((5L, 40L), (metrics.TimeToFirstToken.Count, metrics.InterTokenLatency.Count));
        Assert.Equal(5, metrics.EndToEnd.Count);
        Assert.Equal(35 + 40, metrics.IterationTokens.Sum);
        long[] counts = new long[metrics.RequestPromptTokens.Bounds.Length + 1];
        metrics.RequestPromptTokens.CopyCounts(counts);
        Assert.Equal(5, counts[metrics.RequestPromptTokens.Bounds.IndexOf(10)]); // 7 lies in the bucket up to 10
        Assert.Equal([0, 0, 0, 0], new[] { metrics.RequestsRunning, metrics.RequestsWaiting, metrics.KvUsage, metrics.QueueTokens }.Select(g => g.Value));
        Assert.Equal(metrics.All.Select(m => (m.Name, m.LabelValue)).Distinct().Count(), metrics.All.Count);
    }
}

public sealed class EngineLoopTestsOneStepAtATime() : EngineLoopTests(isAsync: false);

public sealed class EngineLoopTestsOneStepAhead() : EngineLoopTests(isAsync: true);
