using NativeLM.Engine;
using NativeLM.Engine.Execution;
using Xunit;

namespace NativeLM.Tests;

/// <summary>A GPU that is absent, too old, too small or lost: what the user reads, and that nothing hangs or leaks. Faults strike the whole process.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class DeviceFaultCollection
{
    public const string Name = "Device faults";
}

/// <inheritdoc cref="DeviceFaultCollection"/>
[Collection(DeviceFaultCollection.Name)]
public sealed class DeviceFaultTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly TemporaryFolder _folder = new();

    public DeviceFaultTests()
    {
        Devices.Require(DeviceKind.Emulated);
        Runners.WriteRandom(_folder);
    }

    public void Dispose()
    {
        Emulator.Inject("");
        Emulator.Configure("streams=deferred");
        _folder.Dispose();
    }

    [Theory]
    [InlineData("no-driver", "no NVIDIA driver", "cpu backend")]
    [InlineData("no-device", "no GPU", "CUDA_VISIBLE_DEVICES")]
    [InlineData("old-driver", "found a driver for CUDA", "update the driver")]
    [InlineData("capability:70", "compute capability 7.0", "8.0 or newer")]
    public void A_device_that_cannot_be_used_is_refused_with_what_was_found_and_needed(string fault, string found, string needed)
    {
        Emulator.Inject(fault);
        EngineStartException refusal = Assert.Throws<EngineStartException>(() => ModelRunner.Load(Options()));
        Assert.Contains(found, refusal.Message, StringComparison.Ordinal);
        Assert.Contains(needed, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("--device emulated", refusal.Message, StringComparison.Ordinal);
        Emulator.Inject("");
        ModelRunner.Load(Options()).Dispose();
    }

    [Theory]
    [InlineData("malloc")]
    [InlineData("host-malloc")]
    public void Every_allocation_may_fail_and_leaves_nothing_behind(string fault)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Emulator.Counter("live_bytes");
        int failures = 0;
        for (int n = 1; ; n++)
        {
            Emulator.Inject($"{fault}:{n}");
            Exception? error = Record.Exception(() => ModelRunner.Load(Options()).Dispose());
            Emulator.Inject("");
            if (error is null)
                break;
            EngineStartException refusal = Assert.IsType<EngineStartException>(error);
            foreach (string figure in (string[])["out of memory", "weights", "workspace", "KV cache", "free"])
                Assert.Contains(figure, refusal.Message, StringComparison.Ordinal);
            failures++;
        }
        GC.Collect(); // a class that had half of its buffers when it failed leaves them to the collector
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, Emulator.Counter("live_bytes"));
        Assert.True(failures > 5, $"only {failures} allocations could fail");
    }

    [Fact]
    public void Swap_space_that_the_host_does_not_give_is_refused_by_its_name()
    {
        int refusals = 0;
        for (int n = 1; ; n++)
        {
            Emulator.Inject($"host-malloc:{n}");
            Exception? error = Record.Exception(() => ModelRunner.Load(Options() with { SwapSpaceBytes = 1 << 20 }).Dispose());
            Emulator.Inject("");
            if (error is null)
                break;
            string message = Assert.IsType<EngineStartException>(error).Message;
            if (message.StartsWith("--swap-space: ", StringComparison.Ordinal) && message.Contains("KiB of pinned memory", StringComparison.Ordinal))
                refusals++;
        }
        Assert.Equal(1, refusals);
    }

    // In a prompt, in a called or replayed decode step, in a copy; at the launch (eager streams) or when it is waited for (deferred).
    [Theory]
    [InlineData("launch:3", Toggle.Off, Toggle.Off, "eager")]
    [InlineData("launch:100", Toggle.Off, Toggle.On, "eager")]
    [InlineData("launch:150", Toggle.On, Toggle.Off, "eager")]
    [InlineData("launch:150", Toggle.On, Toggle.On, "eager")]
    [InlineData("launch:3", Toggle.Off, Toggle.On, "deferred")]
    [InlineData("launch:150", Toggle.On, Toggle.On, "deferred")]
    [InlineData("launch:155", Toggle.On, Toggle.Off, "deferred")]
    [InlineData("copy:2", Toggle.Off, Toggle.On, "eager")]
    [InlineData("copy:25", Toggle.On, Toggle.On, "deferred")]
    public async Task A_lost_device_ends_every_request_with_an_error_and_nothing_hangs(string fault, Toggle graphs, Toggle ahead, string streams)
    {
        Emulator.Configure($"streams={streams}");
        LlmEngine engine = LlmEngine.Load(Options() with { Graphs = graphs, AsyncScheduling = ahead });
        Emulator.Inject(fault);
        Task<FinishReason>[] ends = [.. Enumerable.Range(0, 6).Select(i => End(engine, Request(i)))];
        FinishReason[] reasons = await Task.WhenAll(ends).WaitAsync(Patience);
        Assert.All(reasons, reason => Assert.Equal(FinishReason.Error, reason));
        Assert.Equal((EngineState.Failed, false), (engine.Health.State, engine.Health.IsReady));
        Assert.Contains("lost", engine.Health.Failure, StringComparison.Ordinal);
        Assert.Equal(RejectionKind.Unavailable, Assert.Throws<RequestRejectedException>(() => engine.Submit(Request(0))).Kind);
        await engine.DisposeAsync().AsTask().WaitAsync(Patience);
    }

    private EngineOptions Options() => Runners.Options(_folder.Path) with
    {
        Device = DeviceKind.Emulated,
        MaxSequences = 4,
        MaxBatchedTokens = 32,
        MaxModelLength = 128,
        KvCacheMemoryBytes = 1 << 20,
    };

    private static GenerationRequest Request(int i) => new()
    {
        PromptIds = new[] { 1, 5 + i, 9 },
        Sampling = new SamplingParams
        {
            Temperature = i % 3 == 1 ? 1 : 0,
            N = 1 + Math.Min(1, i % 3), // alone, two samples, two beams
            UseBeamSearch = i % 3 == 2,
            MaxTokens = 60,
            IgnoreEos = true,
        },
    };

    private static async Task<FinishReason> End(LlmEngine engine, GenerationRequest request)
    {
        FinishReason last = FinishReason.None;
        try
        {
            await foreach (TokenEvent token in engine.Submit(request))
                last = token.FinishReason;
        }
        catch (RequestRejectedException refused) when (refused.Kind == RejectionKind.Unavailable)
        {
            last = FinishReason.Error; // the fault struck before this one came
        }
        return last;
    }
}
