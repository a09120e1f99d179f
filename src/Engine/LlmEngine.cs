using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Models;
using NativeLM.Engine.Sampling;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine;

/// <summary>
/// A loaded model that continues prompts, many at a time. Requests may come from any thread; one thread of its own computes
/// them in mixed batches. Dispose it to end that thread and free the device.
/// </summary>
public sealed class LlmEngine : IAsyncDisposable
{
    private readonly IStepExecutor _executor;
    private readonly ModelTokenizer? _tokenizer;
    private readonly AdmissionQueue _queue;
    private readonly EngineLoop _loop;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly Action<Generation, int> _cancel;
    private readonly EngineOptions _options;
    private readonly KeyTable _keys;
    private readonly PrefixRegistry _prefixes;
    private readonly int[] _eosIds;
    private readonly ulong _seed;
    private long _lastId;
    private int _disposed;

    /// <summary>Loads a model folder onto a device and starts the engine. Takes as long as reading the weights.</summary>
    /// <exception cref="ModelLoadException">A file of the folder is absent or breaks a rule.</exception>
    /// <exception cref="TokenizerFormatException">The tokenizer's files break a rule or use a step that is not supported.</exception>
    /// <exception cref="ChatTemplateException">The chat template is not valid.</exception>
    /// <exception cref="EngineStartException">The device or its memory does not allow it.</exception>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static LlmEngine Load(EngineOptions options, ILoggerFactory? loggers = null, IProgress<LoadProgress>? progress = null)
    {
        options.Validate();
        ModelFolder folder = new(options.ModelPath);
        // The small files first: what is wrong with them shows before the weights are read.
        ModelConfig config = ModelConfig.Load(folder);
        SamplingParams sampling = SamplingDefaults.Load(folder);
        ModelTokenizer tokenizer = ModelTokenizer.Load(options.ModelPath);
        if (tokenizer.VocabularySize > config.VocabularySize)
            throw new ModelLoadException(folder.Name("tokenizer.json"),
                $"found {tokenizer.VocabularySize} token ids, needed at most the vocab_size of config.json, {config.VocabularySize}");
        ChatTemplate? chatTemplate = ChatTemplate.TryLoad(options.ModelPath);
        ModelRunner runner = ModelRunner.Load(options, loggers, progress);
        return new LlmEngine(runner, Describe(options, runner), options, tokenizer, chatTemplate, sampling, loggers);
    }

    /// <summary>Starts an engine over any executor, which it owns from then on.</summary>
    internal LlmEngine(
        IStepExecutor executor, EngineInfo info, EngineOptions options, ModelTokenizer? tokenizer = null,
        ChatTemplate? chatTemplate = null, SamplingParams? defaultSampling = null, ILoggerFactory? loggers = null, TimeProvider? time = null)
    {
        _executor = executor;
        _tokenizer = tokenizer;
        _logger = (loggers ?? NullLoggerFactory.Instance).CreateLogger("NativeLM.Engine");
        _time = time ?? TimeProvider.System;
        _cancel = (generation, index) => _queue!.Cancel(generation.Group, index);
        _options = options;
        _prefixes = new PrefixRegistry();
        _eosIds = [.. info.EosTokenIds];
        _seed = options.Seed ?? (ulong)Random.Shared.NextInt64();
        Info = info;
        ChatTemplate = chatTemplate;
        DefaultSampling = defaultSampling ?? new SamplingParams();
        Health = new EngineHealth(_time);
        Metrics = new EngineMetrics(info, Health, options.KeyWeights.Keys);
        _queue = new AdmissionQueue(
            options.MaxQueuedRequests ?? 4 * info.MaxSequences,
            options.MaxQueuedTokens ?? 8L * (info.BlockCount - 1) * info.BlockSize,
            options.MaxQueuedRequestsPerKey);
        _keys = new KeyTable(options.KeyWeights, _queue);
        SchedulerLimits limits = new()
        {
            BlockCount = info.BlockCount,
            BlockSize = info.BlockSize,
            SequencesMax = info.MaxSequences,
            TokensMax = info.MaxBatchedTokens,
            HostBlockCount = info.HostBlockCount,
            PrefixCaching = options.EnablePrefixCaching,
            PrefixHashSeed = options.PrefixHashSeed ?? new UInt128((ulong)Random.Shared.NextInt64(), (ulong)Random.Shared.NextInt64()),
            PreemptionMode = options.PreemptionMode,
            Costs = (executor as ModelRunner)?.Costs,
            OvertakesMax = options.MaxOvertakes,
            Reservation = options.Reservation,
            ContextMax = info.MaxModelLength,
        };
        _loop = new EngineLoop(
            executor, limits, info.IsAsync, info.BlockBytes, _time, _queue, new StepRecorder(Metrics, Health, _time, info.BlockBytes), Health, _logger);
        _loop.Start();
        EngineLog.Started(_logger, info.ModelName, info.Device, info.BlockCount - 1, info.BlockSize, info.MaxSequences, info.MaxBatchedTokens);
    }

    /// <summary>What was loaded and how large it is.</summary>
    public EngineInfo Info { get; }

    /// <summary>The model's tokenizer.</summary>
    public ModelTokenizer Tokenizer => _tokenizer ?? throw new InvalidOperationException("this engine was built without a tokenizer");

    /// <summary>The model's chat template; null for a model that only continues text.</summary>
    public ChatTemplate? ChatTemplate { get; }

    /// <summary>Sampling where a request says nothing: the model's generation_config.json.</summary>
    public SamplingParams DefaultSampling { get; }

    /// <summary>What the engine counts.</summary>
    public EngineMetrics Metrics { get; }

    /// <summary>Whether it takes requests, and the watchdog.</summary>
    public EngineHealth Health { get; }

    /// <summary>Queues a request and returns at once. Read the generation, or cancel it: one that nobody reads is cut off.</summary>
    /// <exception cref="RequestRejectedException">It is malformed, could never fit, the queue is full, or the engine is shutting down.</exception>
    public Generation Submit(GenerationRequest request)
    {
        try
        {
            return Enter(request);
        }
        catch (RequestRejectedException rejection)
        {
            Metrics.Rejected(rejection.Kind).Add();
            throw;
        }
    }

    /// <summary>Prefixes that were registered by name.</summary>
    public IReadOnlyList<SharedPrefix> SharedPrefixes => _prefixes.List();

    /// <summary>
    /// Computes a prefix and keeps its full blocks in the KV pool until it is released. Requests of the same key and salt that begin with the
    /// same tokens use them, as they use any cached prefix. Returns once it is computed.
    /// </summary>
    /// <param name="name">1 to 129 characters, not in use.</param>
    /// <param name="ids">At least one block of tokens; those beyond the last full block are not kept.</param>
    /// <param name="cacheSalt">See <see cref="GenerationRequest.CacheSalt"/>.</param>
    /// <param name="key">See <see cref="GenerationRequest.Key"/>.</param>
    /// <exception cref="RequestRejectedException">The name or the tokens are not acceptable, or the blocks are needed by requests.</exception>
    public async Task<SharedPrefix> RegisterPrefixAsync(string name, ReadOnlyMemory<int> ids, string? cacheSalt = null, string? key = null)
    {
        if (!_options.EnablePrefixCaching)
            throw new RequestRejectedException(RejectionKind.InvalidValue, "prefix caching is off, and a registered prefix needs it", "name");
        int blocks = ids.Length / Info.BlockSize;
        if (blocks == 0)
            throw new RequestRejectedException(RejectionKind.InvalidValue,
                $"the prefix has {ids.Length} tokens, needed at least one KV block of {Info.BlockSize}", "prompt");
        PrefixRegistry.Entry entry = _prefixes.Reserve(name, blocks);
        try
        {
            GenerationRequest request = new()
            {
                PromptIds = ids[..(blocks * Info.BlockSize)],
                Sampling = new SamplingParams { Temperature = 0, MaxTokens = 1 },
                CacheSalt = cacheSalt,
                Key = key,
            };
            await foreach (TokenEvent token in Enter(request, new PinnedPrefix(name, blocks)).ConfigureAwait(false))
                if (token.FinishReason is not (FinishReason.None or FinishReason.Stop or FinishReason.Length))
                    throw new RequestRejectedException(RejectionKind.KvCapacityExceeded,
                        $"the prefix was not kept: {token.Error ?? token.FinishReason.ToString()}", "prompt");
            return _prefixes.Settle(entry, new SharedPrefix(name, ids.Length, blocks));
        }
        catch
        {
            _prefixes.Remove(name, entry);
            throw;
        }
    }

    /// <summary>Lets a registered prefix go. False if there is none of that name.</summary>
    public bool ReleasePrefix(string name)
    {
        if (!_prefixes.Remove(name))
            return false;
        _queue.Post(scheduler => scheduler.Pins.Release(name));
        return true;
    }

    /// <summary>Forgets every cached prefix and releases the registered ones; requests that run keep what they hold.</summary>
    public Task ResetPrefixCacheAsync()
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isPosted = _queue.Post(scheduler =>
        {
            try
            {
                scheduler.ResetPrefixCache();
                _prefixes.Clear();
                done.SetResult();
            }
            catch (Exception error)
            {
                done.SetException(error);
                throw; // broken bookkeeping ends the engine
            }
        });
        return isPosted ? done.Task : Task.CompletedTask;
    }

    /// <summary>Takes no more requests, lets the others finish within the grace, then cancels those left. Returns when nothing runs.</summary>
    public async ValueTask DrainAsync(TimeSpan grace)
    {
        Health.Drain();
        _queue.Close();
        EngineLog.Draining(_logger, (int)Metrics.RequestsRunning.Value + (int)Metrics.RequestsWaiting.Value, grace);
        try
        {
            await _loop.Drained.WaitAsync(grace, _time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _loop.CancelAll();
            await _loop.Drained.ConfigureAwait(false);
        }
    }

    /// <summary>Cancels what runs, ends the engine thread and frees the device. Can be called repeatedly.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await DrainAsync(TimeSpan.Zero).ConfigureAwait(false);
        _loop.Stop();
        _executor.Dispose();
        Health.Stop();
        EngineLog.Stopped(_logger, Metrics.Steps.Value);
    }

    private static EngineInfo Describe(EngineOptions options, ModelRunner runner) => new()
    {
        ModelName = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.ModelPath))),
        Architecture = runner.Config.ArchitectureName,
        DType = runner.TypeName,
        Device = runner.DeviceDescription,
        MaxModelLength = runner.MaxModelLength,
        VocabularySize = runner.VocabularySize,
        BlockSize = runner.BlockSize,
        BlockCount = runner.KvBlockCount,
        MaxSequences = runner.MaxSequences,
        MaxBatchedTokens = runner.MaxBatchedTokens,
        EosTokenIds = runner.EosTokenIds,
        IsAsync = runner.IsAsync,
        BlockBytes = runner.BlockBytes,
        HostBlockCount = runner.HostBlockCount,
        StartupReport = runner.StartupReport,
    };

    private Generation Enter(GenerationRequest request, PinnedPrefix? pin = null)
    {
        int outputMax = RequestValidation.OutputMax(request, Info, Info.BlockCount - 1 - _prefixes.BlockCount);
        SamplingParams sampling = request.Sampling;
        int[] eosIds = sampling.IgnoreEos ? [] : _eosIds;
        int[] endIds = sampling.StopTokenIds.Count == 0 ? eosIds : [.. eosIds, .. sampling.StopTokenIds];
        CheckCandidates(sampling, endIds);
        KeyQueue key = _keys.Find(request.Key);
        TimeSpan? deadline = request.Deadline ?? _options.DefaultDeadline;
        string id = request.Id ?? $"gen-{Interlocked.Increment(ref _lastId)}";
        Generation generation = new(id, request.PromptIds.Length, sampling.UseBeamSearch ? sampling.N : sampling.Width, _cancel);
        generation.Times.Arrived = _time.GetTimestamp();
        _queue.Enter(new Admission(request.PromptIds.Length, sampling.Width, key, deadline), arrival => generation.Group =
            new SequenceGroup(new Sequence(arrival, request.PromptIds.Span, sampling, sampling.Seed ?? SeedOf(arrival), outputMax, endIds))
            {
                Generation = generation,
                Key = key,
                Priority = _options.SchedulingPolicy == SchedulingPolicy.Priority ? request.Priority : 0,
                Deadline = deadline is TimeSpan left ? checked(generation.Times.Arrived + (long)(left.TotalSeconds * _time.TimestampFrequency)) : long.MaxValue,
                Salt = PrefixSalt.Of(_options.SharePrefixesAcrossKeys ? null : request.Key, request.CacheSalt),
                Sharing = request.ReportSharing ? new SharingMeter() : null,
                Pin = pin,
            });
        return generation;
    }

    private static void CheckCandidates(SamplingParams sampling, int[] endIds)
    {
        if (!sampling.UseBeamSearch)
            return;
        int candidates = BeamSearch.CandidatesOf(sampling.Width, endIds.Length);
        if (candidates > StepResult.CandidatesMax)
            throw new RequestRejectedException(RejectionKind.InvalidValue,
                $"{sampling.Width} beams and {endIds.Length} tokens that end them: found {candidates} candidates in a step, needed at most {StepResult.CandidatesMax}; "
                + "lower n or best_of, or name fewer stop_token_ids", sampling.BestOf is null ? "n" : "best_of");
    }

    /// <summary>Mixes the engine's seed with the arrival number, so that neighbours draw independently.</summary>
    private ulong SeedOf(long arrival) => Sequence.Mix(_seed + 0x9E3779B97F4A7C15UL * ((ulong)arrival + 1));
}
