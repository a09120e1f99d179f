namespace NativeLM.Simulation.Hardware;

/// <summary>What the host adds to a step: a fixed part and a part per decoding sequence, in seconds.</summary>
internal readonly record struct HostOverhead(double Step, double Sequence);

/// <summary>How fast a GPU and the host beside it are.</summary>
internal sealed record GpuSpec
{
    /// <summary>Short name, as on the command line.</summary>
    public required string Name { get; init; }

    /// <summary>Device memory in bytes.</summary>
    public required double MemoryBytes { get; init; }

    /// <summary>Memory bandwidth, bytes/s.</summary>
    public required double Bandwidth { get; init; }

    /// <summary>bf16 FLOP/s of matrix products.</summary>
    public required double Flops { get; init; }

    /// <summary>Share of the bandwidth reached when weights are read.</summary>
    public required double WeightEfficiency { get; init; }

    /// <summary>Share of the bandwidth reached when KV blocks are read.</summary>
    public required double KvEfficiency { get; init; }

    /// <summary>Share of the FLOP rate reached in matrix products.</summary>
    public required double FlopEfficiency { get; init; }

    /// <summary>Seconds to start the copy of one block's K or V of one layer to or from the host.</summary>
    public required double SwapCallSeconds { get; init; }

    /// <summary>Bytes/s each way between device and host.</summary>
    public required double SwapBandwidth { get; init; }

    /// <summary>Seconds of one collective call beside its bytes (tensor parallel only).</summary>
    public required double AllReduceSeconds { get; init; }

    /// <summary>Bytes/s between GPUs.</summary>
    public required double LinkBandwidth { get; init; }

    /// <summary>Host work of the paper's engine and of the Orca baselines, which the paper runs on it.</summary>
    public required HostOverhead PaperOverhead { get; init; }

    /// <summary>Host work of FasterTransformer.</summary>
    public required HostOverhead StaticOverhead { get; init; }

    /// <summary>Host work of NativeLM that is not hidden.</summary>
    public required HostOverhead NativeOverhead { get; init; }

    /// <summary>Where the numbers come from.</summary>
    public required ConstantTable Table { get; init; }

    /// <summary>A GPU that comes with the program, or a JSON file.</summary>
    public static GpuSpec Load(string nameOrFile)
    {
        ConstantTable table = ConstantTable.Load("hardware", nameOrFile);
        return new GpuSpec
        {
            Name = table.Word("name") ?? Path.GetFileNameWithoutExtension(nameOrFile),
            MemoryBytes = table.Number("memory_bytes", 1 << 20, 1e15),
            Bandwidth = table.Number("bandwidth", 1e6, 1e15),
            Flops = table.Number("flops", 1e6, 1e18),
            WeightEfficiency = table.Number("weight_efficiency", 0.01, 1),
            KvEfficiency = table.Number("kv_efficiency", 0.01, 1),
            FlopEfficiency = table.Number("flop_efficiency", 0.01, 1),
            SwapCallSeconds = table.Number("swap_call_seconds", 0, 1),
            SwapBandwidth = table.Number("swap_bandwidth", 1e6, 1e15),
            AllReduceSeconds = table.Number("allreduce_seconds", 0, 1),
            LinkBandwidth = table.Number("link_bandwidth", 1e6, 1e15),
            PaperOverhead = Overhead(table, "paper"),
            StaticOverhead = Overhead(table, "static"),
            NativeOverhead = Overhead(table, "nativelm"),
            Table = table,
        };
    }

    private static HostOverhead Overhead(ConstantTable table, string engine) =>
        new(table.Number($"{engine}_step_seconds", 0, 10), table.Number($"{engine}_sequence_seconds", 0, 1));
}
