namespace NativeLM.Engine;

/// <summary>Which backend computes.</summary>
public enum DeviceKind
{
    /// <summary>CUDA where a usable GPU is present, else the CPU.</summary>
    Auto,
    /// <summary>The processor.</summary>
    Cpu,
    /// <summary>An NVIDIA GPU.</summary>
    Cuda,
    /// <summary>CUDA kernels on the host emulator (tests).</summary>
    Emulated,
}

/// <summary>Element type of weights, activations and KV cache.</summary>
public enum ModelDType
{
    /// <summary>The checkpoint's own type; a float16 checkpoint computes in bfloat16 on a CPU, which has fast instructions for that.</summary>
    Auto,
    /// <summary>IEEE 754 binary32: the reference precision.</summary>
    Float32,
    /// <summary>bfloat16 with fp32 accumulation.</summary>
    BFloat16,
    /// <summary>IEEE 754 binary16 with fp32 accumulation.</summary>
    Float16,
}

/// <summary>Whether to use something that does not pay everywhere.</summary>
public enum Toggle
{
    /// <summary>Where it pays.</summary>
    Auto,
    /// <summary>Always.</summary>
    On,
    /// <summary>Never.</summary>
    Off,
}

/// <summary>How a running request gives its KV blocks back when they run short.</summary>
public enum PreemptionMode
{
    /// <summary>Whichever is estimated to cost less for this request.</summary>
    Auto,
    /// <summary>Its blocks are dropped and computed again later.</summary>
    Recompute,
    /// <summary>Its blocks move to host memory and back; without room there they are dropped.</summary>
    Swap,
    /// <summary>The paper's rule (section 4.5): swap where a request has several sequences, recompute where it has one.</summary>
    ByGroupSize,
}

/// <summary>Who is served first.</summary>
public enum SchedulingPolicy
{
    /// <summary>Who arrived first.</summary>
    Fcfs,
    /// <summary>Who has the lowest priority value, and among equals who arrived first.</summary>
    Priority,
}

/// <summary>Everything that is fixed when an engine starts. Ranges are checked by <see cref="Validate"/>.</summary>
public sealed record EngineOptions
{
    /// <summary>Folder with config.json, *.safetensors and tokenizer.json.</summary>
    public required string ModelPath { get; init; }

    /// <summary>Backend to compute on.</summary>
    public DeviceKind Device { get; init; } = DeviceKind.Auto;

    /// <summary>Compute precision.</summary>
    public ModelDType DType { get; init; } = ModelDType.Auto;

    /// <summary>Longest sequence (prompt and output) in tokens; null: the model's own limit.</summary>
    public int? MaxModelLength { get; init; }

    /// <summary>Token slots of one KV block: a multiple of 8 in [8, 128].</summary>
    public int BlockSize { get; init; } = 16;

    /// <summary>Most sequences in one step, in [1, 4096]; null: 128 on CPU, 256 on a GPU.</summary>
    public int? MaxSequences { get; init; }

    /// <summary>Most tokens in one step (prefill and decode together), at least MaxSequences; null: the device's default.</summary>
    public int? MaxBatchedTokens { get; init; }

    /// <summary>Bytes for the KV cache; null: a share of the free memory, at most what MaxSequences full contexts need.</summary>
    public long? KvCacheMemoryBytes { get; init; }

    /// <summary>CPU threads that compute, the engine thread included; 0: from affinity and cgroup quota.</summary>
    public int Threads { get; init; }

    /// <summary>Seed from which requests without a seed draw theirs; null: random.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Most requests that wait; null: 4 × MaxSequences.</summary>
    public int? MaxQueuedRequests { get; init; }

    /// <summary>Most prompt tokens that wait; null: 8 × the pool's slots.</summary>
    public long? MaxQueuedTokens { get; init; }

    /// <summary>Most requests of one key that wait; null: half of all once there are two keys.</summary>
    public int? MaxQueuedRequestsPerKey { get; init; }

    /// <summary>Keeps KV blocks of finished requests and gives them to requests that begin with the same tokens.</summary>
    public bool EnablePrefixCaching { get; init; } = true;

    /// <summary>Lets requests of different keys share cached prefixes. Their timing then tells each what others have asked.</summary>
    public bool SharePrefixesAcrossKeys { get; init; }

    /// <summary>Seed of the hash under which prefixes are found; null: random. Results do not depend on it.</summary>
    public ulong? PrefixHashSeed { get; init; }

    /// <summary>
    /// Bytes of host memory for KV blocks of preempted requests; null: 4 GiB beside a GPU, but at most a quarter of the host's memory, and none on a
    /// CPU, where the pool itself makes better use of it.
    /// </summary>
    public long? SwapSpaceBytes { get; init; }

    /// <summary>How requests are preempted.</summary>
    public PreemptionMode PreemptionMode { get; init; }

    /// <summary>Who is served first.</summary>
    public SchedulingPolicy SchedulingPolicy { get; init; }

    /// <summary>How often a waiting request that does not fit may be overtaken by ones that do.</summary>
    public int MaxOvertakes { get; init; } = 16;

    /// <summary>Deadline of requests that name none; null: none.</summary>
    public TimeSpan? DefaultDeadline { get; init; }

    /// <summary>Shares of keys relative to others; a key that is not named has weight 1.</summary>
    public IReadOnlyDictionary<string, double> KeyWeights { get; init; } = new Dictionary<string, double>();

    /// <summary>KV blocks that can be used, whatever memory allows; null: from memory.</summary>
    public int? BlockCountOverride { get; init; }

    /// <summary>Blocks that a request gets when it starts: anything but None is a baseline to measure against.</summary>
    internal Scheduling.Reservation Reservation { get; init; }

    /// <summary>Forces a CPU instruction family (scalar, avx2, avx512, avx512_bf16, amx); null: the best one.</summary>
    public string? InstructionSet { get; init; }

    /// <summary>Records decode steps once per batch size and replays them with one call. Auto: on a GPU.</summary>
    public Toggle Graphs { get; init; }

    /// <summary>Plans and launches a step before the tokens of the one before have reached the host. Auto: on a GPU.</summary>
    public Toggle AsyncScheduling { get; init; }

    /// <summary>Folder that holds the native libraries; null: beside the program.</summary>
    public string? NativeLibraryFolder { get; init; }

    /// <summary>Throws <see cref="ArgumentException"/> naming the first option out of range.</summary>
    public void Validate()
    {
        Require(!string.IsNullOrWhiteSpace(ModelPath), "--model", ModelPath ?? "", "a folder");
        Require(BlockSize is >= 8 and <= 128 && BlockSize % 8 == 0, "--block-size", BlockSize, "a multiple of 8 from 8 to 128");
        Require(MaxModelLength is null or (>= 8 and <= 16_777_216), "--max-model-len", MaxModelLength, "8 to 16777216");
        Require(MaxSequences is null or (>= 1 and <= 4096), "--max-num-seqs", MaxSequences, "1 to 4096");
        Require(MaxBatchedTokens is null or (>= 1 and <= 1_048_576), "--max-num-batched-tokens", MaxBatchedTokens, "1 to 1048576");
        Require(MaxBatchedTokens is not int budget || MaxSequences is not int sequences || budget >= sequences,
            "--max-num-batched-tokens", MaxBatchedTokens, $"at least --max-num-seqs ({MaxSequences})");
        Require(KvCacheMemoryBytes is null or > 0, "--kv-cache-memory", KvCacheMemoryBytes, "a positive number of bytes");
        Require(Threads is >= 0 and <= 1024, "--threads", Threads, "0 (automatic) to 1024");
        Require(MaxQueuedRequests is null or >= 1, "--max-queued-requests", MaxQueuedRequests, "at least 1");
        Require(MaxQueuedTokens is null or >= 1, "--max-queued-tokens", MaxQueuedTokens, "at least 1");
        Require(MaxQueuedRequestsPerKey is null or >= 1, "--max-queued-requests-per-key", MaxQueuedRequestsPerKey, "at least 1");
        Require(SwapSpaceBytes is null or >= 0, "--swap-space", SwapSpaceBytes, "0 (none) or more bytes");
        Require(MaxOvertakes is >= 0 and <= 1_000_000, "--max-overtakes", MaxOvertakes, "0 to 1000000");
        Require(DefaultDeadline is null || (DefaultDeadline > TimeSpan.Zero && DefaultDeadline <= TimeSpan.FromDays(1)),
            "--default-deadline-ms", DefaultDeadline?.TotalMilliseconds, "1 to 86400000");
        Require(BlockCountOverride is null or >= 1, "--num-gpu-blocks-override", BlockCountOverride, "at least 1");
        foreach ((string key, double weight) in KeyWeights)
            Require(weight is >= 0.001 and <= 1000, "--api-key-weight", $"{weight} for {key}", "0.001 to 1000");
    }

    private static void Require(bool ok, string name, object? found, string needed)
    {
        if (!ok)
            throw new ArgumentException($"{name}: found {found ?? "nothing"}, needed {needed}");
    }
}
