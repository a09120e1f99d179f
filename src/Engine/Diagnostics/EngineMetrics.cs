namespace NativeLM.Engine.Diagnostics;

/// <summary>
/// What an engine counts. Names, units and buckets are vLLM's where it has the figure, so that its dashboards work unchanged;
/// our own carry the prefix nativelm. Reading takes no lock.
/// </summary>
public sealed class EngineMetrics
{
    private static readonly double[] FirstTokenSeconds =
        [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560];
    private static readonly double[] TokenSeconds = [.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
    private static readonly double[] RequestSeconds =
        [.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];
    private static readonly double[] StepTokens = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];
    private static readonly double[] StepSeconds =
        [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30];

    private readonly List<Metric> _all = [];

    /// <param name="info">The engine's sizes.</param>
    /// <param name="health">Where the watchdog's age is read.</param>
    /// <param name="keys">Keys that have a series of their own: those the operator named, never what a client wrote.</param>
    internal EngineMetrics(EngineInfo info, EngineHealth health, IEnumerable<string> keys)
    {
        double[] tokens = OneTwoFive(info.MaxModelLength);

        RequestsRunning = Add(new Gauge("vllm:num_requests_running", "Requests that hold a place in the batch."));
        RequestsWaiting = Add(new Gauge("vllm:num_requests_waiting", "Requests that wait for a place, preempted ones included."));
        KvUsage = Add(new Gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks that have an owner, 0 to 1."));
        KvBlocksTotal = Add(new Gauge("nativelm:kv_blocks_total", "KV blocks that can be used."));
        KvBlocksTotal.Set(info.BlockCount - 1);
        KvBlocksUsed = Add(new Gauge("nativelm:kv_blocks_used", "KV blocks that have an owner."));
        KvBlocksEvictable = Add(new Gauge("nativelm:kv_blocks_evictable", "KV blocks without an owner that the prefix cache still knows."));
        KvBlocksShared = Add(new Gauge("nativelm:kv_blocks_shared", "KV blocks with more than one owner."));
        HostBlocksUsed = Add(new Gauge("nativelm:host_blocks_used", "Blocks of the swap space that hold KV of preempted requests."));
        QueueTokens = Add(new Gauge("nativelm:queue_tokens", "Prompt tokens of requests that wait for their first step."));
        Add(new Gauge("nativelm:watchdog_age_seconds", "Seconds since the engine thread made progress; 0 while it is idle.",
            () => health.WatchdogAge.TotalSeconds));

        PromptTokens = Add(new Counter("vllm:prompt_tokens_total", "Prompt tokens of requests whose prefill is complete."));
        GenerationTokens = Add(new Counter("vllm:generation_tokens_total", "Tokens drawn."));
        PromptTokensCached = Add(new Counter("vllm:prompt_tokens_cached_total", "Prompt tokens that were not computed because the prefix cache had them."));
        PrefixCacheQueries = Add(new Counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache."));
        PrefixCacheHits = Add(new Counter("vllm:prefix_cache_hits_total", "Tokens found there."));
        Preemptions = Add(new Counter("vllm:num_preemptions_total", "Times a running request gave its KV blocks back."));
        PreemptionsByRecompute = Add(new Counter(
            "nativelm:preemptions_total", "Times a running request gave its KV blocks back, by what became of them.", "kind", "recompute"));
        PreemptionsBySwap = Add(new Counter(
            "nativelm:preemptions_total", "Times a running request gave its KV blocks back, by what became of them.", "kind", "swap"));
        SwapOutBytes = Add(new Counter("nativelm:swap_bytes_total", "Bytes of KV blocks moved to host memory and back.", "direction", "out"));
        SwapInBytes = Add(new Counter("nativelm:swap_bytes_total", "Bytes of KV blocks moved to host memory and back.", "direction", "in"));
        CopiesOnWrite = Add(new Counter("nativelm:cow_copies_total", "KV blocks copied because a sequence wrote into one that it shared."));
        RecomputedTokens = Add(new Counter("nativelm:recomputed_tokens_total", "Tokens whose K and V were dropped by preemption."));
        FailedRows = Add(new Counter("nativelm:nonfinite_rows_total", "Requests ended because their logits were not finite or no token was allowed."));
        SlowReaders = Add(new Counter("nativelm:stream_slow_clients_total", "Requests cancelled because their events were not read."));
        InvariantFailures = Add(new Counter("nativelm:invariant_failures_total", "Engine stops because a bookkeeping check failed."));
        Steps = Add(new Counter("nativelm:steps_total", "Steps run."));
        GraphReplays = Add(new Counter("nativelm:graph_replays_total", "Steps that replayed a recorded graph."));
        EagerSteps = Add(new Counter("nativelm:eager_steps_total", "Steps whose operations were called one by one."));
        BatchRows = Add(new Counter("nativelm:batch_rows_total", "Rows that steps had room for: their tokens, and in a graph the padding."));
        DroppedRows = Add(new Counter("nativelm:dropped_rows_total", "Rows computed ahead for requests that had ended."));
        KvSlotSteps = Add(new Counter("nativelm:kv_slot_steps_total", "Token slots of KV blocks that had an owner, summed over steps."));
        KvTokenSteps = Add(new Counter("nativelm:kv_token_steps_total", "Slots of those that held a token, summed over steps: the rest is waste."));
        DeadlinesExceeded = Add(new Counter("nativelm:deadline_exceeded_total", "Requests ended because their deadline passed."));
        _anonymousTokens = Add(KeyServed("anonymous"));
        _tokensOfKey = keys.Distinct(StringComparer.Ordinal).ToDictionary(key => key, key => Add(KeyServed(key)), StringComparer.Ordinal);
        _success = [.. Enum.GetValues<FinishReason>().Where(r => r != FinishReason.None).Select(reason => Add(new Counter(
            "vllm:request_success_total", "Requests that ended, by reason.", "finished_reason", Label(reason))))];
        _rejected = [.. Enum.GetValues<RejectionKind>().Select(kind => Add(new Counter(
            "nativelm:requests_rejected_total", "Requests refused before they ran, by cause.", "code", Label(kind))))];

        TimeToFirstToken = Add(new Histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", FirstTokenSeconds));
        InterTokenLatency = Add(new Histogram("vllm:inter_token_latency_seconds", "One token to the next.", TokenSeconds));
        TimePerOutputToken = Add(new Histogram(
            "vllm:request_time_per_output_token_seconds", "Mean seconds per token after the first, per request.", TokenSeconds));
        EndToEnd = Add(new Histogram("vllm:e2e_request_latency_seconds", "Arrival to end.", RequestSeconds));
        QueueTime = Add(new Histogram("vllm:request_queue_time_seconds", "Arrival to first step.", RequestSeconds));
        InferenceTime = Add(new Histogram("vllm:request_inference_time_seconds", "First step to end.", RequestSeconds));
        PrefillTime = Add(new Histogram("vllm:request_prefill_time_seconds", "First step to first token.", RequestSeconds));
        DecodeTime = Add(new Histogram("vllm:request_decode_time_seconds", "First token to last.", RequestSeconds));
        RequestPromptTokens = Add(new Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", tokens));
        RequestGenerationTokens = Add(new Histogram("vllm:request_generation_tokens", "Tokens drawn for a request.", tokens));
        RequestSequences = Add(new Histogram("vllm:request_params_n", "Sequences asked for by a request.", [1, 2, 5, 10, 20]));
        RequestMaxTokens = Add(new Histogram("vllm:request_params_max_tokens", "Output limit of a request.", tokens));
        IterationTokens = Add(new Histogram("vllm:iteration_tokens_total", "Tokens computed in a step.", StepTokens));
        SchedulerStep = Add(new Histogram("nativelm:scheduler_step_seconds", "Planning, committing and publishing a step.", StepSeconds));
        ExecutorStep = Add(new Histogram("nativelm:executor_step_seconds", "Computing a step.", StepSeconds));
    }

    private readonly Counter _anonymousTokens;
    private readonly Dictionary<string, Counter> _tokensOfKey;
    private readonly Counter[] _success;
    private readonly Counter[] _rejected;

    /// <summary>Every series; those of one name stand together.</summary>
    public IReadOnlyList<Metric> All => _all;

    internal Gauge RequestsRunning { get; }
    internal Gauge RequestsWaiting { get; }
    internal Gauge KvUsage { get; }
    internal Gauge KvBlocksTotal { get; }
    internal Gauge KvBlocksUsed { get; }
    internal Gauge KvBlocksEvictable { get; }
    internal Gauge KvBlocksShared { get; }
    internal Gauge HostBlocksUsed { get; }
    internal Gauge QueueTokens { get; }
    internal Counter PromptTokens { get; }
    internal Counter GenerationTokens { get; }
    internal Counter PromptTokensCached { get; }
    internal Counter PrefixCacheQueries { get; }
    internal Counter PrefixCacheHits { get; }
    internal Counter Preemptions { get; }
    internal Counter PreemptionsByRecompute { get; }
    internal Counter PreemptionsBySwap { get; }
    internal Counter SwapOutBytes { get; }
    internal Counter SwapInBytes { get; }
    internal Counter CopiesOnWrite { get; }
    internal Counter DeadlinesExceeded { get; }
    internal Counter RecomputedTokens { get; }
    internal Counter FailedRows { get; }
    internal Counter SlowReaders { get; }
    internal Counter InvariantFailures { get; }
    internal Counter Steps { get; }
    internal Counter GraphReplays { get; }
    internal Counter EagerSteps { get; }
    internal Counter BatchRows { get; }
    internal Counter DroppedRows { get; }
    internal Counter KvSlotSteps { get; }
    internal Counter KvTokenSteps { get; }
    internal Histogram TimeToFirstToken { get; }
    internal Histogram InterTokenLatency { get; }
    internal Histogram TimePerOutputToken { get; }
    internal Histogram EndToEnd { get; }
    internal Histogram QueueTime { get; }
    internal Histogram InferenceTime { get; }
    internal Histogram PrefillTime { get; }
    internal Histogram DecodeTime { get; }
    internal Histogram RequestPromptTokens { get; }
    internal Histogram RequestGenerationTokens { get; }
    internal Histogram RequestSequences { get; }
    internal Histogram RequestMaxTokens { get; }
    internal Histogram IterationTokens { get; }
    internal Histogram SchedulerStep { get; }
    internal Histogram ExecutorStep { get; }

    /// <summary>Requests that ended for a reason.</summary>
    internal Counter Ended(FinishReason reason) => _success[(int)reason - 1];

    /// <summary>Requests refused for a cause.</summary>
    internal Counter Rejected(RejectionKind kind) => _rejected[(int)kind];

    /// <summary>Tokens computed for a key's prompts and drawn for it; keys without a series of their own share the anonymous one.</summary>
    internal Counter TokensOf(string? key) => key is not null && _tokensOfKey.TryGetValue(key, out Counter? own) ? own : _anonymousTokens;

    private static Counter KeyServed(string name) => new(
        "nativelm:key_served_tokens_total", "Prompt tokens computed and tokens drawn for requests that ended, by API key.", "key_name", name);

    private T Add<T>(T metric) where T : Metric
    {
        _all.Add(metric);
        return metric;
    }

    private static string Label(FinishReason reason) => reason switch
    {
        FinishReason.Stop => "stop",
        FinishReason.Length => "length",
        FinishReason.Cancelled => "abort",
        FinishReason.DeadlineExceeded => "deadline_exceeded",
        _ => "error",
    };

    private static string Label(RejectionKind kind) => kind switch
    {
        RejectionKind.InvalidValue => "invalid_value",
        RejectionKind.ContextLengthExceeded => "context_length_exceeded",
        RejectionKind.KvCapacityExceeded => "kv_capacity_exceeded",
        RejectionKind.QueueFull => "queue_full",
        RejectionKind.KeyQueueFull => "key_queue_full",
        RejectionKind.DeadlineUnreachable => "deadline_unreachable",
        _ => "engine_unavailable",
    };

    /// <summary>1, 2, 5, 10, 20 ... up to a limit.</summary>
    private static double[] OneTwoFive(int limit)
    {
        List<double> bounds = [];
        for (double power = 1; ; power *= 10)
            foreach (double digit in (ReadOnlySpan<double>)[1, 2, 5])
            {
                if (digit * power > limit)
                    return [.. bounds];
                bounds.Add(digit * power);
            }
    }
}
