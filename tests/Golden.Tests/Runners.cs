using NativeLM.Benchmarks;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;

namespace NativeLM.Tests;

/// <summary>Runners over test models, on the CPU backend unless a test says otherwise.</summary>
internal static class Runners
{
    /// <summary>Options with a small pool, so that many runners fit beside one another.</summary>
    public static EngineOptions Options(string folder) => new()
    {
        ModelPath = folder,
        Device = DeviceKind.Cpu,
        DType = ModelDType.Float32,
        KvCacheMemoryBytes = 64 << 20,
        MaxSequences = 16,
        MaxBatchedTokens = 512,
        Threads = 2,
    };

    public static ModelRunner Load(string folder, Func<EngineOptions, EngineOptions>? change = null) =>
        ModelRunner.Load(change is null ? Options(folder) : change(Options(folder)));

    /// <summary>One step from launch to result.</summary>
    public static void Run(this ModelRunner runner, StepPlan plan, StepResult result)
    {
        runner.Launch(plan);
        runner.Collect(plan, result);
    }

    /// <summary>A small random Llama, written to the folder.</summary>
    public static string WriteRandom(TemporaryFolder folder, RandomModelShape? shape = null, ulong seed = 3)
    {
        RandomModelWriter.Write(folder.Path, shape ?? RandomModelShape.Tiny, seed);
        return folder.Path;
    }
}
