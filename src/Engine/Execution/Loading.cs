using NativeLM.Engine.Models;
using NativeLM.Engine.Weights;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>Everything decided about a model before memory is taken: precision, places of the weights, sizes.</summary>
internal sealed record Loading
{
    private const long DefaultSwapBytes = 4L << 30;

    public required ModelConfig Config { get; init; }

    public required WeightLayout Layout { get; init; }

    public required KvCacheSizing Sizing { get; init; }

    /// <summary>Scratch that kernels share.</summary>
    public required long WorkspaceBytes { get; init; }

    /// <summary>Element type of the checkpoint.</summary>
    public required ModelDType CheckpointType { get; init; }

    public static Loading Plan(EngineOptions options, ModelConfig config, Checkpoint checkpoint, Device device)
    {
        NativeLibrary library = device.Library;
        ModelDType checkpointType = config.CheckpointType ?? TypeOf(checkpoint);
        DType type = Resolve(options.DType, checkpointType, library.Backend);
        RunnerLimits limits = RunnerLimits.From(options, config, library.Backend);
        WeightLayout layout = new(config, type, library);
        WeightLoader.Check(checkpoint, layout);
        MemoryFigures figures = new()
        {
            FreeBytes = device.ReadInfo().MemoryBytesFree,
            WeightBytes = layout.Bytes,
            WorkspaceBytes = StepBytes(config, limits, type, library),
            BlockBytes = library.KvBlockBytes(KvPool.Describe(config, type, limits.BlockSize)),
            SwapBytes = SwapBytes(options, library.Backend),
            IsHostMemory = library.Backend != Backend.Cuda,
        };
        KvCacheSizing sizing = KvCacheSizing.Compute(options, limits, figures);
        return new Loading
        {
            Config = config,
            Layout = layout,
            Sizing = sizing,
            WorkspaceBytes = ScratchBytes(config, sizing.Limits, type, library),
            CheckpointType = checkpointType,
        };
    }

    /// <summary>Why auto did not take the GPU of this machine, or null.</summary>
    public string? PassedOver { get; init; }

    /// <summary>Lines for the start-up report.</summary>
    public IEnumerable<string> Report(Device device)
    {
        yield return $"device: {Describe(device)}";
        if (PassedOver is not null)
            yield return $"the GPU is not used: {PassedOver.ReplaceLineEndings(" ")}";
        yield return $"model: {Config.ArchitectureName}, {Layout.Type} from a {CheckpointType} checkpoint, "
            + $"{Config.LayerCount} layers, vocabulary {Config.VocabularySize}";
        foreach (string line in Sizing.Report())
            yield return line;
    }

    /// <summary>The device in words: backend, name, and what its numbers depend on.</summary>
    public static string Describe(Device device)
    {
        DeviceInfo info = device.Info;
        string facts = device.Library.Backend == Backend.Cpu
            ? $"{DeviceSelection.NameOf(info.Isa)}, {info.ThreadCount} threads"
            : $"compute capability {info.ComputeCapability / 10}.{info.ComputeCapability % 10}, {info.Multiprocessors} multiprocessors, {device.Driver}";
        return $"{device.Library.Backend.ToString().ToLowerInvariant()} ({device.Name}, {facts})";
    }

    /// <summary>
    /// Auto keeps F32 and BF16. An F16 checkpoint computes in bfloat16 on a CPU, where that is the type with fast instructions;
    /// --dtype float16 keeps its own.
    /// </summary>
    private static DType Resolve(ModelDType asked, ModelDType checkpoint, Backend backend) => (asked, checkpoint) switch
    {
        (ModelDType.Float32, _) or (ModelDType.Auto, ModelDType.Float32) => DType.F32,
        (ModelDType.Float16, _) => DType.F16,
        (ModelDType.Auto, ModelDType.Float16) when backend != Backend.Cpu => DType.F16,
        _ => DType.BF16,
    };

    private static ModelDType TypeOf(Checkpoint checkpoint) =>
        checkpoint.Tensors.TryGetValue("model.embed_tokens.weight", out (SafetensorsFile File, TensorInfo Tensor) found) ? found.Tensor.Type switch
        {
            TensorType.F32 => ModelDType.Float32,
            TensorType.F16 => ModelDType.Float16,
            _ => ModelDType.BFloat16,
        } : ModelDType.BFloat16;

    /// <summary>
    /// What was asked for. Otherwise 4 GiB beside a GPU, but no more than a quarter of the host's memory, which is pinned; where the pool itself is
    /// host memory it is better made larger.
    /// </summary>
    private static long SwapBytes(EngineOptions options, Backend backend)
    {
        long hostBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (options.SwapSpaceBytes is not long asked)
            return backend == Backend.Cuda ? Math.Min(DefaultSwapBytes, hostBytes / 4) : 0;
        if (asked > hostBytes)
            throw new EngineStartException(
                $"--swap-space: found {KvCacheSizing.Size(asked)}, needed at most the {KvCacheSizing.Size(hostBytes)} of this host");
        return asked;
    }

    private static long ScratchBytes(ModelConfig config, RunnerLimits limits, DType type, NativeLibrary library)
    {
        long sample = library.SampleWorkspaceBytes(new SampleArgs
        {
            RowsMax = limits.LogitRowsMax,
            Vocabulary = config.VocabularySize,
            LogitsStride = Activations.LogitsColumns(config),
            TopLogprobsMax = RunnerLimits.TopLogprobsMax,
        });
        long beams = library.BeamTopkWorkspaceBytes(new BeamTopkArgs
        {
            GroupsMax = limits.BeamGroupsMax,
            RowsMax = limits.LogitRowsMax,
            Vocabulary = config.VocabularySize,
            LogitsStride = Activations.LogitsColumns(config),
            Count = StepResult.CandidatesMax,
        });
        return Math.Max(CausalLm.WorkspaceBytes(config, limits, type, library), Math.Max(sample, beams));
    }

    private static long StepBytes(ModelConfig config, RunnerLimits limits, DType type, NativeLibrary library) => checked(
        Activations.Bytes(config, limits, type, ScratchBytes(config, limits, type, library)) + CausalLm.RopeTableBytes(config, limits)
        + StepBuffers.Bytes(limits) + StepOutputs.Bytes(limits) + SamplerInputs.Bytes(limits, config.VocabularySize));
}
