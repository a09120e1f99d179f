using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

public sealed class AdmissionTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10); // a held step goes on after it, so that a failed test can end

    private static SamplingParams Beams => new() { UseBeamSearch = true, N = 4, Temperature = 0 };

    public static TheoryData<string, SamplingParams> BadSampling => new()
    {
        { "temperature", new SamplingParams { Temperature = -0.1f } },
        { "temperature", new SamplingParams { Temperature = 2.1f } },
        { "temperature", new SamplingParams { Temperature = float.NaN } },
        { "top_p", new SamplingParams { TopP = 0 } },
        { "top_p", new SamplingParams { TopP = 1.1f } },
        { "top_p", new SamplingParams { TopP = float.NaN } },
        { "top_k", new SamplingParams { TopK = -1 } },
        { "min_p", new SamplingParams { MinP = 2 } },
        { "repetition_penalty", new SamplingParams { RepetitionPenalty = 0 } },
        { "repetition_penalty", new SamplingParams { RepetitionPenalty = 1e38f } },
        { "presence_penalty", new SamplingParams { PresencePenalty = 2.1f } },
        { "frequency_penalty", new SamplingParams { FrequencyPenalty = float.NegativeInfinity } },
        { "max_tokens", new SamplingParams { MaxTokens = 0 } },
        { "max_tokens", new SamplingParams { MaxTokens = int.MinValue } },
        { "min_tokens", new SamplingParams { MinTokens = 9, MaxTokens = 8 } },
        { "min_tokens", new SamplingParams { MinTokens = -1 } },
        { "logprobs", new SamplingParams { Logprobs = 21 } },
        { "prompt_logprobs", new SamplingParams { PromptLogprobs = -1 } },
        { "stop_token_ids", new SamplingParams { StopTokenIds = [ScriptedExecutor.Vocabulary] } },
        { "stop_token_ids", new SamplingParams { StopTokenIds = new int[1025] } },
        { "allowed_token_ids", new SamplingParams { AllowedTokenIds = [-1] } },
        { "logit_bias", new SamplingParams { LogitBias = [new(ScriptedExecutor.Vocabulary, 1)] } },
        { "logit_bias", new SamplingParams { LogitBias = [new(1, 101)] } },
        { "logit_bias", new SamplingParams { LogitBias = [new(1, float.NaN)] } },
        { "logit_bias", new SamplingParams { LogitBias = new KeyValuePair<int, float>[1025] } },
        { "n", new SamplingParams { N = 0 } },
        { "n", new SamplingParams { N = 129 } },
        { "n", new SamplingParams { N = 9 } }, // a step has room for 8
        { "best_of", new SamplingParams { N = 3, BestOf = 2 } },
        { "best_of", new SamplingParams { BestOf = 129 } },
        { "best_of", new SamplingParams { BestOf = 2, Temperature = 0 } },
        { "n", new SamplingParams { UseBeamSearch = true, Temperature = 0 } },
        { "best_of", new SamplingParams { UseBeamSearch = true, BestOf = 1, Temperature = 0 } },
        { "temperature", Beams with { Temperature = 0.5f } },
        { "top_p", Beams with { TopP = 0.9f } },
        { "top_k", Beams with { TopK = 5 } },
        { "min_p", Beams with { MinP = 0.1f } },
        { "repetition_penalty", Beams with { RepetitionPenalty = 1.1f } },
        { "presence_penalty", Beams with { PresencePenalty = 1 } },
        { "frequency_penalty", Beams with { FrequencyPenalty = 1 } },
        { "logit_bias", Beams with { LogitBias = [new(1, 1)] } },
        { "allowed_token_ids", Beams with { AllowedTokenIds = [1] } },
        { "min_tokens", Beams with { MinTokens = 1 } },
        { "logprobs", Beams with { Logprobs = 0 } },
        { "prompt_logprobs", Beams with { PromptLogprobs = 0 } },
        { "length_penalty", Beams with { LengthPenalty = 10.5f } },
        { "length_penalty", Beams with { LengthPenalty = float.NaN } },
        { "early_stopping", Beams with { EarlyStopping = (EarlyStopping)7 } },
        { "n", Beams with { N = 8, StopTokenIds = [.. Enumerable.Range(3, 20)] } }, // 8 x 22 candidates
    };

    [Theory]
    [MemberData(nameof(BadSampling))]
    public async Task A_parameter_out_of_range_is_refused_by_name(string parameter, SamplingParams sampling)
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor());
        GenerationRequest request = new() { PromptIds = new[] { 5 }, Sampling = sampling };
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(request));
        Assert.Equal((RejectionKind.InvalidValue, parameter), (refused.Kind, refused.Parameter));
        Assert.Contains("needed", refused.Message);
        Assert.Equal(8, (await engine.Submit(TestEngine.Request()).ReadAll()).Count);
    }

    [Theory]
    [InlineData(new int[0])]
    [InlineData(new[] { 3, -1 })]
    [InlineData(new[] { ScriptedExecutor.Vocabulary })]
    [InlineData(new[] { int.MinValue })]
    public async Task A_prompt_without_tokens_or_outside_the_vocabulary_is_refused(int[] prompt)
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor());
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(new GenerationRequest { PromptIds = prompt }));
        Assert.Equal((RejectionKind.InvalidValue, "prompt"), (refused.Kind, refused.Parameter));
    }

    [Fact]
    public async Task Beyond_the_context_is_refused_with_the_counts()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor(), context: 32);
        Assert.Equal("prompt", Refused(engine, TestEngine.Request(32, maxTokens: 1), RejectionKind.ContextLengthExceeded).Parameter);
        RequestRejectedException both = Refused(engine, TestEngine.Request(20, maxTokens: 13), RejectionKind.ContextLengthExceeded);
        Assert.Equal("max_tokens", both.Parameter);
        Assert.Contains("33", both.Message);
        Refused(engine, TestEngine.Request(31, maxTokens: int.MaxValue), RejectionKind.ContextLengthExceeded);
        Assert.Single(await engine.Submit(TestEngine.Request(31, maxTokens: 1)).ReadAll());
    }

    [Fact]
    public async Task A_request_that_can_never_fit_the_pool_is_refused_with_the_block_arithmetic()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor(), blocks: 5, context: 256); // 4 blocks of 8
        RequestRejectedException refused = Refused(engine, TestEngine.Request(20, maxTokens: 14), RejectionKind.KvCapacityExceeded);
        Assert.Contains("5 KV blocks", refused.Message);
        Assert.Contains("the pool has 4", refused.Message);
        Assert.Contains("13", refused.Message);
        Refused(engine, TestEngine.Request(33, maxTokens: 1), RejectionKind.KvCapacityExceeded);
        Refused(engine, TestEngine.Request(33, maxTokens: null), RejectionKind.KvCapacityExceeded);
        Assert.Equal(13, (await engine.Submit(TestEngine.Request(20, maxTokens: 13)).ReadAll()).Count);
    }

    [Fact]
    public async Task Without_a_limit_the_output_is_what_the_pool_can_hold()
    {
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor(), blocks: 5, context: 256);
        List<TokenEvent> events = await engine.Submit(TestEngine.Request(20, maxTokens: null)).ReadAll();
        Assert.Equal((13, FinishReason.Length), (events.Count, events[^1].FinishReason));
    }

    [Fact]
    public async Task The_queue_is_bounded_by_requests()
    {
        using ManualResetEventSlim gate = new(false);
        ScriptedExecutor executor = new() { BeforeStep = _ => gate.Wait(Patience) };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, sequences: 2, queuedRequests: 3);
        List<Generation> taken = [];
        RequestRejectedException? refused = null;
        while (refused is null)
            try
            {
                taken.Add(engine.Submit(TestEngine.Request()));
            }
            catch (RequestRejectedException rejection)
            {
                refused = rejection;
            }
        Assert.InRange(taken.Count, 3, 5); // 3 wait, up to 2 were let in before the gate held the step
        Assert.Equal(RejectionKind.QueueFull, refused.Kind);
        Assert.InRange(refused.RetryAfter!.Value.TotalSeconds, 1, 60);
        gate.Set();
        foreach (Generation generation in taken)
            Assert.Equal(8, (await generation.ReadAll()).Count);
        Assert.Equal(8, (await engine.Submit(TestEngine.Request()).ReadAll()).Count);
    }

    [Fact]
    public async Task The_queue_is_bounded_by_tokens_but_an_empty_one_takes_any_request()
    {
        using ManualResetEventSlim gate = new(false);
        using ManualResetEventSlim running = new(false);
        ScriptedExecutor executor = new()
        {
            BeforeStep = _ =>
            {
                running.Set();
                gate.Wait(Patience);
            },
        };
        await using LlmEngine engine = TestEngine.Start(isAsync: false, executor, sequences: 1, queuedTokens: 10);
        Generation first = engine.Submit(TestEngine.Request(4));
        running.Wait();
        Generation second = engine.Submit(TestEngine.Request(40)); // above the bound, but nothing else waits
        RequestRejectedException refused = Refused(engine, TestEngine.Request(1), RejectionKind.QueueFull);
        Assert.Contains("limit is 10", refused.Message);
        gate.Set();
        await Task.WhenAll(first.ReadAll(), second.ReadAll());
    }

    [Fact]
    public async Task Cancelled_waiting_requests_make_room_in_the_queue()
    {
        using SemaphoreSlim steps = new(1);
        await using LlmEngine engine = TestEngine.Start(isAsync: false, new ScriptedExecutor { BeforeStep = _ => steps.Wait(Patience) }, sequences: 1, queuedRequests: 1);
        Generation running = engine.Submit(TestEngine.Request(maxTokens: 3));
        await using IAsyncEnumerator<TokenEvent> reader = running.GetAsyncEnumerator();
        await reader.MoveNextAsync(); // it has left the queue
        Generation waiting = engine.Submit(TestEngine.Request());
        Refused(engine, TestEngine.Request(), RejectionKind.QueueFull);
        waiting.Cancel();
        steps.Release(1000);
        Assert.Equal(FinishReason.Cancelled, Assert.Single(await waiting.ReadAll()).FinishReason);
        Assert.Equal(8, (await engine.Submit(TestEngine.Request()).ReadAll()).Count);
    }

    private static RequestRejectedException Refused(LlmEngine engine, GenerationRequest request, RejectionKind kind)
    {
        RequestRejectedException refused = Assert.Throws<RequestRejectedException>(() => engine.Submit(request));
        Assert.Equal(kind, refused.Kind);
        return refused;
    }
}
