using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Several sequences of one request through the engine, one step at a time or one ahead.</summary>
public abstract class ParallelSamplingTests(bool isAsync)
{
    private static ScriptedExecutor Executor() => new() { Next = static sequence => 10 + (sequence.Index * 100) + sequence.OutputCount };

    /// <summary>Goes no further than some steps until a signal; after ten seconds it does, so that a failed test can end.</summary>
    private static ScriptedExecutor HeldAfter(int steps, ManualResetEventSlim signal)
    {
        ScriptedExecutor executor = Executor();
        executor.BeforeStep = _ =>
        {
            if (executor.StepCount >= steps)
                signal.Wait(TimeSpan.FromSeconds(10));
        };
        return executor;
    }

    private static GenerationRequest Request(int n, int maxTokens = 5, int prompt = 12) =>
        TestEngine.Request(prompt, maxTokens, sampling: new SamplingParams { N = n }) with { ReportSharing = true };

    [Fact]
    public async Task Every_sequence_has_its_own_tokens_in_order_and_its_own_end()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, Executor());
        Generation generation = engine.Submit(Request(n: 3));
        Assert.Equal(3, generation.SequenceCount);
        List<TokenEvent> events = await generation.ReadAll();
        for (int index = 0; index < 3; index++)
        {
            List<TokenEvent> own = [.. events.Where(e => e.Index == index)];
            Assert.Equal(Enumerable.Range(10 + (index * 100), 5), own.Select(e => e.TokenId));
            Assert.Equal([.. Enumerable.Repeat(FinishReason.None, 4), FinishReason.Length], own.Select(e => e.FinishReason));
        }
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task The_report_says_what_was_shared_and_copied()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, Executor());
        Generation generation = engine.Submit(Request(n: 3));
        await generation.ReadAll();
        SharingReport report = generation.Sharing!;
        Assert.Equal(2, report.CopiesOnWrite); // the partial block of the prompt, for all but the last writer
        Assert.Equal((1 + (3 * 1), 0), (report.BlocksUsedMax, report.PromptBlocksFromCache)); // one full block for all, one each
        Assert.InRange(report.SavedShare, 0.2, 0.5);
        Generation again = engine.Submit(Request(n: 1));
        await again.ReadAll();
        Assert.Equal((1, 8), (again.Sharing!.PromptBlocksFromCache, again.CachedTokenCount));
        Assert.Null(await Unreported(engine));
    }

    private static async Task<SharingReport?> Unreported(LlmEngine engine)
    {
        Generation silent = engine.Submit(TestEngine.Request());
        await silent.ReadAll();
        return silent.Sharing;
    }

    [Fact]
    public async Task Cancelling_one_sequence_leaves_the_others_and_frees_its_blocks()
    {
        using ManualResetEventSlim cancelled = new();
        await using LlmEngine engine = TestEngine.Start(isAsync, HeldAfter(8, cancelled));
        Generation generation = engine.Submit(Request(n: 3, maxTokens: 60));
        Dictionary<int, List<TokenEvent>> events = new() { [0] = [], [1] = [], [2] = [] };
        await foreach (TokenEvent token in generation)
        {
            events[token.Index].Add(token);
            if (token.Index == 1 && events[1].Count == 4)
            {
                generation.Cancel(1);
                cancelled.Set();
            }
        }
        Assert.Equal(FinishReason.Cancelled, events[1][^1].FinishReason);
        Assert.InRange(events[1].Count, 5, 59);
        Assert.Equal((60, FinishReason.Length), (events[0].Count, events[0][^1].FinishReason));
        Assert.Equal((60, FinishReason.Length), (events[2].Count, events[2][^1].FinishReason));
        await engine.BecomesIdle();
        Assert.Equal(0, engine.UsedBlocks());
    }

    [Fact]
    public async Task A_sequence_cancelled_before_it_exists_ends_and_the_others_go_on()
    {
        using ManualResetEventSlim gate = new();
        ScriptedExecutor executor = Executor();
        executor.BeforeStep = _ => gate.Wait(TimeSpan.FromSeconds(10));
        await using LlmEngine engine = TestEngine.Start(isAsync, executor, tokens: 8);
        Generation generation = engine.Submit(Request(n: 2, prompt: 30));
        generation.Cancel(0);
        gate.Set();
        List<TokenEvent> events = await generation.ReadAll();
        Assert.Equal(FinishReason.Cancelled, Assert.Single(events, e => e.Index == 0 && e.FinishReason != FinishReason.None).FinishReason);
        Assert.Equal(FinishReason.Length, events.Last(e => e.Index == 1).FinishReason);
    }

    [Fact]
    public async Task Cancelling_a_request_ends_all_of_its_sequences_once()
    {
        using ManualResetEventSlim cancelled = new();
        await using LlmEngine engine = TestEngine.Start(isAsync, HeldAfter(8, cancelled), blocks: 129);
        Generation generation = engine.Submit(Request(n: 4, maxTokens: 200));
        List<TokenEvent> events = [];
        await foreach (TokenEvent token in generation)
        {
            events.Add(token);
            if (events.Count == 9)
            {
                generation.Cancel();
                cancelled.Set();
            }
        }
        Assert.Equal([0, 1, 2, 3], events.Where(e => e.FinishReason == FinishReason.Cancelled).Select(e => e.Index).Order());
    }

    [Fact]
    public async Task A_failed_row_ends_the_whole_request_and_no_other()
    {
        ScriptedExecutor executor = Executor();
        executor.AfterRow = static (in row, ref sampled) => sampled.Failed = row.Sequence.Index == 2 && row.Sequence.OutputCount == 3;
        await using LlmEngine engine = TestEngine.Start(isAsync, executor);
        Generation broken = engine.Submit(Request(n: 3)), whole = engine.Submit(Request(n: 2));
        List<TokenEvent> events = await broken.ReadAll();
        Assert.Equal(3, events.Count(e => e.FinishReason == FinishReason.Error && e.Error is not null));
        Assert.Equal(2, (await whole.ReadAll()).Count(e => e.FinishReason == FinishReason.Length));
    }

    [Fact]
    public async Task A_request_that_can_never_fit_is_refused_with_the_block_arithmetic()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync, Executor(), blocks: 11); // 10 usable of 8 tokens
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(Request(n: 4, maxTokens: 18, prompt: 16)));
        Assert.Equal(RejectionKind.KvCapacityExceeded, refused.Kind);
        Assert.Contains("14 KV blocks of 8 tokens (2 shared + 4 sequences x 3), the pool has 10; lower max_tokens to 17, lower n", refused.Message);
        await engine.Submit(Request(n: 4, maxTokens: 17, prompt: 16)).ReadAll();
    }
}

public sealed class ParallelSamplingOneAtATimeTests() : ParallelSamplingTests(isAsync: false);

public sealed class ParallelSamplingAheadTests() : ParallelSamplingTests(isAsync: true);
