using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Who may wait, for how long, and what keeps its blocks.</summary>
public sealed class QueueTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10); // a held step goes on after it, so that a failed test can end

    [Fact]
    public async Task A_deadline_ends_a_request_wherever_it_is_and_is_never_reported_as_its_end()
    {
        ScriptedExecutor executor = new() { BeforeStep = _ => Thread.Sleep(2) };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, sequences: 1);
        Generation runs = engine.Submit(TestEngine.Request(maxTokens: 200) with { Deadline = TimeSpan.FromMilliseconds(200) });
        Generation waits = engine.Submit(TestEngine.Request(maxTokens: 200) with { Deadline = TimeSpan.FromMilliseconds(50) });
        Assert.Equal(FinishReason.DeadlineExceeded, (await waits.ReadAll())[^1].FinishReason);
        List<TokenEvent> events = await runs.ReadAll();
        Assert.Equal(FinishReason.DeadlineExceeded, events[^1].FinishReason);
        Assert.InRange(events.Count, 1, 199);
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task One_key_cannot_fill_the_queue_of_all()
    {
        using ManualResetEventSlim gate = new(), started = new();
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ =>
            {
                started.Set();
                gate.Wait(Patience);
            },
        };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, sequences: 1, queuedRequests: 8);
        GenerationRequest flood = TestEngine.Request(maxTokens: 1) with { Key = "flood" }, other = TestEngine.Request(maxTokens: 1) with { Key = "other" };
        List<Generation> all = [engine.Submit(other)];
        Assert.True(started.Wait(Patience)); // its step is held
        RequestRejectedException? refused = null;
        for (int i = 0; i < 8 && refused is null; i++)
            try
            {
                all.Add(engine.Submit(flood));
            }
            catch (RequestRejectedException rejection)
            {
                refused = rejection;
            }
        Assert.Equal(RejectionKind.KeyQueueFull, refused!.Kind);
        Assert.NotNull(refused.RetryAfter);
        all.Add(engine.Submit(other));
        gate.Set();
        foreach (Generation generation in all)
            Assert.Equal(FinishReason.Length, (await generation.ReadAll())[^1].FinishReason);
    }

    [Fact]
    public async Task A_wide_request_counts_as_many_in_the_queue()
    {
        using ManualResetEventSlim gate = new(), started = new();
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ =>
            {
                started.Set();
                gate.Wait(Patience);
            },
        };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, queuedRequests: 4);
        Generation first = engine.Submit(TestEngine.Request(maxTokens: 1));
        Assert.True(started.Wait(Patience)); // its step is held, so it no longer waits
        Generation second = engine.Submit(TestEngine.Request(maxTokens: 1));
        GenerationRequest wide = TestEngine.Request(maxTokens: 1, sampling: new SamplingParams { N = 4 });
        Assert.Equal(RejectionKind.QueueFull, Assert.Throws<RequestRejectedException>(() => engine.Submit(wide)).Kind);
        gate.Set();
        await first.ReadAll();
        await second.ReadAll();
    }

    [Fact]
    public async Task A_registered_prefix_stays_however_full_the_pool_gets_until_it_is_released()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor(), blocks: 17); // 16 usable of 8 tokens
        SharedPrefix prefix = await engine.RegisterPrefixAsync("system", Enumerable.Range(500, 30).ToArray());
        Assert.Equal(("system", 30, 3), (prefix.Name, prefix.TokenCount, prefix.BlockCount));
        Assert.Equal([prefix], engine.SharedPrefixes);
        for (int i = 0; i < 5; i++) // each evicts what others left
            await engine.Submit(TestEngine.Request(promptCount: 90, maxTokens: 10, first: 100 + i)).ReadAll();
        await engine.BecomesIdle();
        Assert.Equal(3, engine.UsedBlocks());
        Generation hit = engine.Submit(TestEngine.Request(promptCount: 40, maxTokens: 2, first: 500));
        await hit.ReadAll();
        Assert.Equal(24, hit.CachedTokenCount);
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(TestEngine.Request(promptCount: 100, maxTokens: 8)));
        Assert.Contains("beside the 3 of registered prefixes", refused.Message);
        Assert.True(engine.ReleasePrefix("system"));
        Assert.False(engine.ReleasePrefix("system"));
        await engine.Submit(TestEngine.Request(promptCount: 100, maxTokens: 8)).ReadAll();
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task A_prefix_that_cannot_be_kept_is_refused_and_leaves_its_name_free()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor(), blocks: 17);
        int[] ids = [.. Enumerable.Range(500, 32)];
        Assert.Equal("prompt", (await Assert.ThrowsAsync<RequestRejectedException>(() => engine.RegisterPrefixAsync("short", ids.AsMemory(0, 7)))).Parameter);
        Assert.Equal("name", (await Assert.ThrowsAsync<RequestRejectedException>(() => engine.RegisterPrefixAsync("", ids))).Parameter);
        await engine.RegisterPrefixAsync("a", ids);
        Assert.Equal("name", (await Assert.ThrowsAsync<RequestRejectedException>(() => engine.RegisterPrefixAsync("a", ids))).Parameter);
        int[] many = [.. Enumerable.Range(300, 104)];
        RequestRejectedException refused = await Assert.ThrowsAsync<RequestRejectedException>(() => engine.RegisterPrefixAsync("b", many));
        Assert.Equal(RejectionKind.KvCapacityExceeded, refused.Kind);
        Assert.Equal(["a"], engine.SharedPrefixes.Select(prefix => prefix.Name));
    }

    [Fact]
    public async Task A_prefix_released_while_it_is_computed_is_refused_for_that_and_leaves_its_successor_alone()
    {
        using ManualResetEventSlim gate = new(), started = new();
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ =>
            {
                started.Set();
                gate.Wait(Patience);
            },
        };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, tokens: 16); // it takes two steps
        int[] ids = [.. Enumerable.Range(500, 32)];
        Task<SharedPrefix> first = engine.RegisterPrefixAsync("name", ids);
        Assert.True(started.Wait(Patience));
        Assert.True(engine.ReleasePrefix("name"));
        Task<SharedPrefix> second = engine.RegisterPrefixAsync("name", Enumerable.Range(600, 16).ToArray());
        gate.Set();
        Assert.Contains("released", (await Assert.ThrowsAsync<RequestRejectedException>(() => first)).Message);
        Assert.Equal(2, (await second).BlockCount);
        Assert.Equal([await second], engine.SharedPrefixes);
        await engine.BecomesIdle();
        Assert.Equal((2, 0), (engine.UsedBlocks(), (int)engine.Metrics.FailedRows.Value));
    }

    [Fact]
    public async Task Keys_and_salts_do_not_share_prefixes_and_a_reset_forgets_them()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor());
        async Task<int> Cached(string? key, string? salt)
        {
            Generation generation = engine.Submit(TestEngine.Request(promptCount: 20, maxTokens: 1) with { Key = key, CacheSalt = salt });
            await generation.ReadAll();
            return generation.CachedTokenCount;
        }
        Assert.Equal(0, await Cached("a", null));
        Assert.Equal(16, await Cached("a", null));
        Assert.Equal(0, await Cached("b", null));
        Assert.Equal(0, await Cached("a", "x"));
        Assert.Equal(16, await Cached("a", "x"));
        Assert.Equal(0, await Cached(null, null));
        await engine.RegisterPrefixAsync("kept", Enumerable.Range(700, 16).ToArray());
        await engine.ResetPrefixCacheAsync();
        Assert.Equal(0, await Cached("a", null));
        Assert.Empty(engine.SharedPrefixes);
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }
}
