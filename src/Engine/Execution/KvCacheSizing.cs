using System.Globalization;

namespace NativeLM.Engine.Execution;

/// <summary>What the memory arithmetic at start works with. Bytes.</summary>
internal sealed record MemoryFigures
{
    /// <summary>Free on the device before anything was loaded.</summary>
    public required long FreeBytes { get; init; }

    public required long WeightBytes { get; init; }

    /// <summary>Activations, logits, kernel workspace, rope table, step buffers, sampler state.</summary>
    public required long WorkspaceBytes { get; init; }

    /// <summary>One KV block over all layers.</summary>
    public required long BlockBytes { get; init; }

    /// <summary>Host memory for blocks of preempted requests.</summary>
    public long SwapBytes { get; init; }

    /// <summary>The device's memory is the host's, so that swap space takes from what is free.</summary>
    public bool IsHostMemory { get; init; }
}

/// <summary>
/// How many KV blocks there are, and how long a sequence may be. Block 0 is never used, so one more is allocated than can be held.
/// All arithmetic is checked 64-bit.
/// </summary>
internal sealed record KvCacheSizing
{
    // What the pool may take of the memory that weights and workspace leave, where the user gave no size.
    private const double Share = 0.6;

    public required MemoryFigures Memory { get; init; }

    public required RunnerLimits Limits { get; init; }

    /// <summary>Blocks allocated, the null block 0 included.</summary>
    public required int BlockCount { get; init; }

    /// <summary>Blocks of the host pool; 0: no swapping.</summary>
    public required int HostBlockCount { get; init; }

    public long PoolBytes => checked(BlockCount * Memory.BlockBytes);

    public long HostPoolBytes => checked(HostBlockCount * Memory.BlockBytes);

    /// <summary>Throws <see cref="EngineStartException"/> with the figures and what would fit.</summary>
    public static KvCacheSizing Compute(EngineOptions options, RunnerLimits limits, MemoryFigures memory)
    {
        long left = checked(memory.FreeBytes - memory.WeightBytes - memory.WorkspaceBytes - (memory.IsHostMemory ? memory.SwapBytes : 0));
        long perSequence = limits.BlocksPerSequence;
        long useful = checked((limits.MaxSequences * perSequence) + 1);
        long countMax = int.MaxValue / limits.BlockSize; // slot numbers are 32-bit
        if (left <= 0)
            throw TooLittle(memory, checked(2 * memory.BlockBytes),
                "weights and workspace alone do not fit; a smaller model, --dtype bfloat16, fewer --max-num-seqs or less --swap-space would help");
        long budget = options.KvCacheMemoryBytes ?? (long)(left * Share);
        long blocks = options.BlockCountOverride is int count
            ? Math.Min(count + 1L, countMax)
            : Math.Min(budget / memory.BlockBytes, Math.Min(useful, countMax));
        if (options.BlockCountOverride is not null && blocks * memory.BlockBytes > left)
            throw TooLittle(memory, blocks * memory.BlockBytes, $"--num-gpu-blocks-override {(left / memory.BlockBytes) - 1} would just fit");
        if (options.BlockCountOverride is null && budget > left)
            throw TooLittle(memory, budget, $"--kv-cache-memory {left} would just fit");
        if (options.MaxModelLength is null)
            limits = limits with { MaxModelLength = (int)Math.Min(limits.MaxModelLength, Math.Max(0, blocks - 1) * limits.BlockSize) };
        if (limits.MaxModelLength < 8 || blocks - 1 < limits.BlocksPerSequence)
            throw TooLittle(memory, checked((perSequence + 1) * memory.BlockBytes), WhatFits(blocks, limits, memory));
        long hostBlocks = Math.Min(memory.SwapBytes / memory.BlockBytes, Math.Min(useful, countMax));
        return new KvCacheSizing { Memory = memory, Limits = limits, BlockCount = (int)blocks, HostBlockCount = (int)hostBlocks };
    }

    /// <summary>The arithmetic, one line each.</summary>
    public IEnumerable<string> Report()
    {
        yield return $"memory: {Size(Memory.FreeBytes)} free at start";
        yield return $"weights: {Size(Memory.WeightBytes)}; workspace: {Size(Memory.WorkspaceBytes)}";
        long tokens = (long)(BlockCount - 1) * Limits.BlockSize;
        double contexts = (double)tokens / Limits.MaxModelLength;
        yield return string.Create(CultureInfo.InvariantCulture,
            $"KV cache: {BlockCount} blocks x {Limits.BlockSize} slots x {Memory.BlockBytes / Limits.BlockSize} bytes = {Size(PoolBytes)}, "
            + $"{tokens} tokens or {contexts:0.0} contexts of {Limits.MaxModelLength}");
        if (HostBlockCount > 0)
            yield return $"swap space: {HostBlockCount} blocks = {Size(HostPoolBytes)} of host memory";
        yield return $"limits: {Limits.MaxSequences} sequences, {Limits.MaxBatchedTokens} tokens in a step, "
            + $"{Limits.MaxModelLength} tokens in a sequence";
    }

    /// <summary>For a device that refuses what the arithmetic promised: the figures, what is left now, and what to ask for instead.</summary>
    public EngineStartException Refused(long freeBytes, string reason)
    {
        // The pool comes last: what is free then is what it may take. Before that even less than weights and workspace were to be had.
        string advice = freeBytes > 2 * Memory.BlockBytes && freeBytes < PoolBytes
            ? $"--kv-cache-memory {freeBytes / Memory.BlockBytes * Memory.BlockBytes} would fit"
            : "close what else uses the device, or use a smaller model, --dtype bfloat16, fewer --max-num-seqs or fewer --max-num-batched-tokens";
        return new EngineStartException(
            $"out of memory while loading: found {Size(Memory.FreeBytes)} free at start and {Size(freeBytes)} now, needed {Size(Memory.WeightBytes)} for weights, "
            + $"{Size(Memory.WorkspaceBytes)} for workspace and {Size(PoolBytes)} for the KV cache; {advice} ({reason})");
    }

    /// <summary>Bytes in the unit that reads best.</summary>
    public static string Size(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.00} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
    };

    private static string WhatFits(long blocks, RunnerLimits limits, MemoryFigures memory)
    {
        long tokens = Math.Max(0, blocks - 1) * limits.BlockSize;
        return tokens >= 8
            ? $"--max-model-len {tokens} would fit"
            : $"one block of {limits.BlockSize} tokens takes {Size(memory.BlockBytes)}, and the pool needs two";
    }

    private static EngineStartException TooLittle(MemoryFigures memory, long poolBytes, string advice) => new(
        $"too little memory: found {Size(memory.FreeBytes)} free, needed {Size(checked(memory.WeightBytes + memory.WorkspaceBytes + poolBytes))} "
        + $"(weights {Size(memory.WeightBytes)}, workspace {Size(memory.WorkspaceBytes)}, KV cache {Size(poolBytes)}); {advice}");
}
