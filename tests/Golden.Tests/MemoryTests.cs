using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The memory arithmetic at start: what is taken, what is refused and with which figures.</summary>
public sealed class MemoryTests
{
    private const long MiB = 1 << 20;

    private static readonly RunnerLimits Limits = new(MaxSequences: 8, MaxBatchedTokens: 512, MaxModelLength: 1000, BlockSize: 16);

    private static readonly EngineOptions Options = new() { ModelPath = "x" };

    private static MemoryFigures Figures(long freeMiB) =>
        new() { FreeBytes = freeMiB * MiB, WeightBytes = 100 * MiB, WorkspaceBytes = 50 * MiB, BlockBytes = MiB };

    [Fact]
    public void The_pool_holds_every_full_context_and_no_more()
    {
        KvCacheSizing sizing = KvCacheSizing.Compute(Options, Limits, Figures(100_000));
        Assert.Equal((8 * 63) + 1, sizing.BlockCount);
        Assert.Equal(1000, sizing.Limits.MaxModelLength);
    }

    [Fact]
    public void Less_memory_gives_fewer_blocks_and_a_shorter_context()
    {
        KvCacheSizing sizing = KvCacheSizing.Compute(Options, Limits, Figures(200));
        Assert.Equal(30, sizing.BlockCount);
        Assert.Equal(29 * 16, sizing.Limits.MaxModelLength);
        Assert.Contains(sizing.Report(), line => line.Contains("30 blocks x 16 slots x 65536 bytes = 30.0 MiB", StringComparison.Ordinal));
    }

    [Fact]
    public void A_context_that_was_asked_for_and_does_not_fit_is_refused_with_what_would()
    {
        EngineStartException error = Assert.Throws<EngineStartException>(
            () => KvCacheSizing.Compute(Options with { MaxModelLength = 1000 }, Limits, Figures(200)));
        Assert.Contains("--max-model-len 464", error.Message, StringComparison.Ordinal);
        Assert.Contains("200.0 MiB", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(100, null)]
    [InlineData(151, null)]
    [InlineData(200, 60L)]
    [InlineData(1000, 1L)]
    public void Too_little_memory_is_refused(long freeMiB, long? poolMiB)
    {
        EngineOptions options = Options with { KvCacheMemoryBytes = poolMiB * MiB };
        EngineStartException error = Assert.Throws<EngineStartException>(() => KvCacheSizing.Compute(options, Limits, Figures(freeMiB)));
        Assert.Contains("too little memory", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(20, "--kv-cache-memory 20971520 would fit")] // weights and workspace were there: the pool may have what is left
    [InlineData(1, "fewer --max-num-seqs")]
    [InlineData(900, "close what else uses the device")] // more is free than the pool needs: something else was refused
    public void Memory_that_the_device_refuses_after_all_is_told_with_what_would_fit(long leftMiB, string advice)
    {
        KvCacheSizing sizing = KvCacheSizing.Compute(Options, Limits, Figures(200));
        string message = sizing.Refused(leftMiB * MiB, "the device refused 30 MiB").Message;
        foreach (string part in (string[])[advice, "200.0 MiB", "100.0 MiB", "50.0 MiB", "30.0 MiB", "the device refused 30 MiB"])
            Assert.Contains(part, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, 40, 10)]
    [InlineData(true, 31, 10)] // out of the same memory
    public void Swap_space_has_blocks_of_its_own(bool isHostMemory, int blocks, int hostBlocks)
    {
        MemoryFigures figures = Figures(isHostMemory ? 212 : 217) with { SwapBytes = (10 * MiB) + 5, IsHostMemory = isHostMemory };
        KvCacheSizing sizing = KvCacheSizing.Compute(Options, Limits, figures);
        Assert.Equal((blocks, hostBlocks), (sizing.BlockCount, sizing.HostBlockCount));
        Assert.Contains(sizing.Report(), line => line == "swap space: 10 blocks = 10.0 MiB of host memory");
    }

    [Fact]
    public void Swap_space_never_holds_more_than_all_full_contexts() =>
        Assert.Equal((8 * 63) + 1, KvCacheSizing.Compute(Options, Limits, Figures(100_000) with { SwapBytes = 2000 * MiB }).HostBlockCount);

    [Fact]
    public void A_count_of_blocks_that_was_asked_for_is_taken_as_it_is_or_refused()
    {
        Assert.Equal(20 + 1, KvCacheSizing.Compute(Options with { BlockCountOverride = 20 }, Limits, Figures(200)).BlockCount);
        EngineStartException error = Assert.Throws<EngineStartException>(
            () => KvCacheSizing.Compute(Options with { BlockCountOverride = 50 }, Limits, Figures(200)));
        Assert.Contains("--num-gpu-blocks-override 49 would just fit", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Slot_numbers_stay_within_32_bits()
    {
        RunnerLimits huge = Limits with { MaxSequences = 4096, MaxModelLength = 16_777_216, BlockSize = 128 };
        MemoryFigures figures = new() { FreeBytes = long.MaxValue / 4, WeightBytes = 1, WorkspaceBytes = 1, BlockBytes = 64 };
        KvCacheSizing sizing = KvCacheSizing.Compute(Options, huge, figures);
        Assert.True((long)sizing.BlockCount * 128 <= int.MaxValue);
    }

    [Fact]
    public void A_cuda_device_that_is_not_there_is_refused_with_what_was_found_and_needed()
    {
        if (File.Exists("/proc/driver/nvidia/version"))
            Assert.Skip("this machine has an NVIDIA driver");
        EngineStartException error = Assert.Throws<EngineStartException>(() => DeviceSelection.Open(Options with { Device = DeviceKind.Cuda }, out _));
        Assert.Contains("no NVIDIA driver", error.Message, StringComparison.Ordinal);
        Assert.Contains("--device cpu", error.Message, StringComparison.Ordinal);
        DeviceSelection.Open(Options with { Device = DeviceKind.Auto }, out _).Dispose();
    }

    [Fact]
    public void An_instruction_set_that_is_unknown_is_refused_with_the_list()
    {
        EngineOptions options = Options with { Device = DeviceKind.Cpu, InstructionSet = "sse" };
        Assert.Contains("avx512", Assert.Throws<ArgumentException>(() => DeviceSelection.Open(options, out _)).Message, StringComparison.Ordinal);
    }
}
