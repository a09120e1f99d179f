using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>The flags that shape the engine, shared by every command that loads a model. Names follow vLLM where the meaning is the same.</summary>
internal sealed class EngineFlags
{
    private readonly Argument<string?> _model = new("MODEL")
    {
        Description = "Model folder in Hugging Face layout. Without it: the bundled demo model.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _modelOption = Flag.Of<string?>("--model", "The same as MODEL.");
    private readonly Option<DeviceKind> _device = Choice("--device",
        "Where to compute: auto (a usable GPU, else the CPU), cpu, cuda, emulated (the GPU's kernels on the processor: slow, for tests).",
        DeviceKind.Auto, ("auto", DeviceKind.Auto), ("cpu", DeviceKind.Cpu), ("cuda", DeviceKind.Cuda), ("emulated", DeviceKind.Emulated));

    private readonly Option<ModelDType> _dtype = Choice("--dtype", "Precision: auto (the model's own), float32, bfloat16, float16.", ModelDType.Auto,
        ("auto", ModelDType.Auto), ("float32", ModelDType.Float32), ("float", ModelDType.Float32), ("bfloat16", ModelDType.BFloat16),
        ("float16", ModelDType.Float16), ("half", ModelDType.Float16));

    private readonly Option<int?> _maxModelLength = Flag.Of<int?>("--max-model-len", "Longest sequence in tokens. Default: the model's own limit.");
    private readonly Option<int> _blockSize = Flag.With("--block-size", "Tokens of one KV block: a multiple of 8 up to 128.", 16);
    private readonly Option<int?> _maxSequences = Flag.Of<int?>("--max-num-seqs", "Most sequences in one step. Default: 128 on CPU, 256 on a GPU.");
    private readonly Option<int?> _maxBatchedTokens = Flag.Of<int?>("--max-num-batched-tokens",
        "Most tokens in one step, prefill and decode together.");
    private readonly Option<long?> _kvCacheMemory = new("--kv-cache-memory", "--kv-cache-memory-bytes")
    {
        Description = "Memory of the KV cache, such as 512M or 4GiB. Default: a share of the free memory.",
        HelpName = "BYTES",
        CustomParser = ParseBytes,
    };

    private readonly Option<int> _threads = Flag.With("--threads", "CPU threads that compute. 0: as many as this process may use.", 0);
    private readonly Option<long?> _seed = Flag.Of<long?>("--seed", "Seed from which requests without a seed draw theirs. Default: random.");
    private readonly Option<int?> _maxQueuedRequests = Flag.Of<int?>("--max-queued-requests",
        "Most waiting requests; more are answered 429. Default: 4 x max-num-seqs.", "--max-num-queued-reqs");
    private readonly Option<long?> _maxQueuedTokens = Flag.Of<long?>("--max-queued-tokens", "Most prompt tokens of waiting requests.",
        "--max-num-queued-tokens");
    private readonly Option<int?> _maxQueuedPerKey = Flag.Of<int?>("--max-queued-requests-per-key",
        "Most waiting requests of one API key. Default: half of all once there are two keys.");
    private readonly Option<SchedulingPolicy> _policy = Choice("--scheduling-policy",
        "Who is served first: fcfs (who came first), priority (the lowest priority field of the request).", SchedulingPolicy.Fcfs,
        ("fcfs", SchedulingPolicy.Fcfs), ("priority", SchedulingPolicy.Priority));
    private readonly Option<int> _maxOvertakes = Flag.With("--max-overtakes",
        "How often smaller requests may pass a waiting one that does not fit yet.", 16);
    private readonly Option<long?> _deadline = Flag.Of<long?>("--default-deadline-ms",
        "Milliseconds after which a request that names no deadline_ms has failed (408). Default: none.");
    private readonly Option<bool> _prefixCaching = Flag.Of<bool>("--enable-prefix-caching",
        "Keep KV blocks of finished requests for those that begin alike. This is the default.");
    private readonly Option<bool> _noPrefixCaching = Flag.Of<bool>("--no-enable-prefix-caching", "Forget KV blocks when a request ends.");
    private readonly Option<bool> _sharePrefixes = Flag.Of<bool>("--share-prefixes-across-keys",
        "Let API keys hit each other's cached prefixes. Their timing then tells one what another has asked.");
    private readonly Option<long?> _hashSeed = Flag.Of<long?>("--prefix-hash-seed", "Seed of the prefix cache's hash, for replays. Default: random.");
    private readonly Option<double?> _swapSpace = new("--swap-space")
    {
        Description = "Host memory in GiB for KV blocks of preempted requests; 0 is none. Default: 4 beside a GPU, 0 on a CPU.",
        HelpName = "GIB",
    };

    private readonly Option<PreemptionMode> _preemption = Choice("--preemption-mode",
        "What becomes of the KV blocks of a request that must make room: recompute (computed again), swap (moved to host memory), auto (the cheaper).",
        PreemptionMode.Auto, ("auto", PreemptionMode.Auto), ("recompute", PreemptionMode.Recompute), ("swap", PreemptionMode.Swap));
    private readonly Option<int?> _blockCount = Flag.Of<int?>("--num-gpu-blocks-override", "KV blocks that can be used, on any device. Default: what the memory holds.");
    private readonly Option<string?> _instructionSet = Flag.Of<string?>("--instruction-set",
        "Force a CPU path: scalar, avx2, avx512, avx512_bf16, amx.");
    private readonly Option<Toggle> _graphs = OnOff("--cuda-graphs",
        "Record decode steps and replay each with one call: auto (on a GPU), on, off.");
    private readonly Option<Toggle> _asyncScheduling = OnOff("--async-scheduling",
        "Launch a step before the tokens of the one before are read: auto (on a GPU), on, off.");
    private readonly Option<string?> _trustRemoteCode = new("--trust-remote-code") { Hidden = true, Arity = ArgumentArity.ZeroOrOne };

    public EngineFlags(Command command)
    {
        command.Add(_model);
        foreach (Option option in (Option[])[_modelOption, _device, _dtype, _maxModelLength, _blockSize, _maxSequences, _maxBatchedTokens,
            _kvCacheMemory, _blockCount, _swapSpace, _preemption, _prefixCaching, _noPrefixCaching, _sharePrefixes, _hashSeed, _policy, _maxOvertakes,
            _maxQueuedRequests, _maxQueuedTokens, _maxQueuedPerKey, _deadline, _threads, _seed, _instructionSet, _graphs, _asyncScheduling, _trustRemoteCode])
            command.Add(option);
        command.Validators.Add(Check);
    }

    /// <summary>The checked options; throws <see cref="UsageException"/> or <see cref="ArgumentException"/> with one clear line.</summary>
    public EngineOptions Read(ParseResult parsed)
    {
        EngineOptions options = new()
        {
            ModelPath = ModelLocator.Find(parsed.GetValue(_model) ?? parsed.GetValue(_modelOption)),
            Device = parsed.GetValue(_device),
            DType = parsed.GetValue(_dtype),
            MaxModelLength = parsed.GetValue(_maxModelLength),
            BlockSize = parsed.GetValue(_blockSize),
            MaxSequences = parsed.GetValue(_maxSequences),
            MaxBatchedTokens = parsed.GetValue(_maxBatchedTokens),
            KvCacheMemoryBytes = parsed.GetValue(_kvCacheMemory),
            Threads = parsed.GetValue(_threads),
            Seed = parsed.GetValue(_seed) is long seed ? unchecked((ulong)seed) : null,
            MaxQueuedRequests = parsed.GetValue(_maxQueuedRequests),
            MaxQueuedTokens = parsed.GetValue(_maxQueuedTokens),
            MaxQueuedRequestsPerKey = parsed.GetValue(_maxQueuedPerKey),
            SchedulingPolicy = parsed.GetValue(_policy),
            MaxOvertakes = parsed.GetValue(_maxOvertakes),
            DefaultDeadline = Deadline(parsed.GetValue(_deadline)),
            EnablePrefixCaching = !parsed.GetValue(_noPrefixCaching),
            SharePrefixesAcrossKeys = parsed.GetValue(_sharePrefixes),
            PrefixHashSeed = parsed.GetValue(_hashSeed) is long hashSeed ? unchecked((ulong)hashSeed) : null,
            SwapSpaceBytes = SwapBytes(parsed.GetValue(_swapSpace)),
            PreemptionMode = parsed.GetValue(_preemption),
            BlockCountOverride = parsed.GetValue(_blockCount),
            InstructionSet = parsed.GetValue(_instructionSet),
            Graphs = parsed.GetValue(_graphs),
            AsyncScheduling = parsed.GetValue(_asyncScheduling),
        };
        options.Validate();
        if (!Directory.Exists(options.ModelPath))
            throw new UsageException($"model folder not found: '{options.ModelPath}'");
        return options;
    }

    private void Check(CommandResult result)
    {
        if (result.GetResult(_model) is { Tokens: [{ Value: ['-', ..] flag }] })
            result.AddError($"unknown flag {flag.Split('=')[0]}");
        if (result.GetResult(_model) is { Tokens.Count: > 0 } && result.GetResult(_modelOption) is { Implicit: false })
            result.AddError("the model is named twice: as MODEL and with --model");
        if (result.GetValue(_prefixCaching) && result.GetValue(_noPrefixCaching))
            result.AddError("--enable-prefix-caching and --no-enable-prefix-caching: found both, needed one");
        if (result.GetResult(_trustRemoteCode) is { Implicit: false })
            result.AddError("--trust-remote-code does not exist here: code that comes with a model is never run");
    }

    private static TimeSpan? Deadline(long? milliseconds) => milliseconds switch
    {
        null => null,
        >= 1 and <= 86_400_000 => TimeSpan.FromMilliseconds(milliseconds.Value),
        _ => throw new UsageException($"--default-deadline-ms: found {milliseconds}, needed 1 to 86400000"),
    };

    private static long? SwapBytes(double? gibibytes) => gibibytes switch
    {
        null => null,
        >= 0 and <= 65_536 => (long)(gibibytes.Value * (1L << 30)),
        _ => throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"--swap-space: found {gibibytes}, needed 0 to 65536 GiB")),
    };

    private static Option<Toggle> OnOff(string name, string description) =>
        Choice(name, description, Toggle.Auto, ("auto", Toggle.Auto), ("on", Toggle.On), ("off", Toggle.Off));

    /// <summary>An option with a closed set of words.</summary>
    private static Option<T> Choice<T>(string name, string description, T fallback, params (string Word, T Value)[] choices) => new(name)
    {
        Description = description,
        HelpName = string.Join('|', choices.Select(static c => c.Word)),
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            foreach ((string known, T value) in choices)
                if (string.Equals(word, known, StringComparison.OrdinalIgnoreCase))
                    return value;
            result.AddError($"{name}: found '{word}', needed one of {string.Join(", ", choices.Select(static c => c.Word))}");
            return fallback;
        },
    };

    private static long? ParseBytes(ArgumentResult result)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (ByteSize.TryParse(text, out long bytes))
            return bytes;
        result.AddError($"--kv-cache-memory: found '{text}', needed a size such as 512M or 4GiB");
        return null;
    }
}
