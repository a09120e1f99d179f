namespace NativeLM.Simulation.Hardware;

/// <summary>What of a model decides how long a step takes and how many tokens fit.</summary>
internal sealed record ModelShape
{
    /// <summary>Short name, as on the command line.</summary>
    public required string Name { get; init; }

    /// <summary>Transformer layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int Hidden { get; init; }

    /// <summary>Parameters that every token is multiplied with.</summary>
    public required double Parameters { get; init; }

    /// <summary>Bytes read when a step reads all weights.</summary>
    public required double WeightBytes { get; init; }

    /// <summary>Bytes of K and V of one token over all layers.</summary>
    public required int KvBytesPerToken { get; init; }

    /// <summary>Most tokens of prompt and output together.</summary>
    public required int Context { get; init; }

    /// <summary>GPUs it is spread over (tensor parallel).</summary>
    public required int Gpus { get; init; }

    /// <summary>GPU on which it was published with <see cref="KvMemoryBytes"/>; null if it was not.</summary>
    public string? Hardware { get; init; }

    /// <summary>Published KV memory on that GPU.</summary>
    public double? KvMemoryBytes { get; init; }

    /// <summary>Where the numbers come from.</summary>
    public required ConstantTable Table { get; init; }

    /// <summary>A model that comes with the program, or a JSON file.</summary>
    public static ModelShape Load(string nameOrFile)
    {
        ConstantTable table = ConstantTable.Load("model", nameOrFile);
        return new ModelShape
        {
            Name = table.Word("name") ?? Path.GetFileNameWithoutExtension(nameOrFile),
            Layers = (int)table.Number("layers", 1, 10_000),
            Hidden = (int)table.Number("hidden", 1, 1 << 20),
            Parameters = table.Number("parameters", 1, 1e14),
            WeightBytes = table.Number("weight_bytes", 1, 1e15),
            KvBytesPerToken = (int)table.Number("kv_bytes_per_token", 1, 1 << 30),
            Context = (int)table.Number("context", 2, 1 << 24),
            Gpus = (int)table.Number("gpus", 1, 1024),
            Hardware = table.Word("hardware"),
            KvMemoryBytes = table.Has("kv_memory_bytes") ? table.Number("kv_memory_bytes", 1, 1e15) : null,
            Table = table,
        };
    }

    /// <summary>
    /// KV token slots on a GPU: what was published for it, or what is left of 92 % of the memory after the weights. Throws if nothing is.
    /// </summary>
    public int KvSlots(GpuSpec gpu)
    {
        double bytes = Hardware == gpu.Name && KvMemoryBytes is double published ? published : 0.92 * gpu.MemoryBytes * Gpus - WeightBytes;
        double slots = Math.Floor(bytes / KvBytesPerToken);
        return slots >= Context ? (int)Math.Min(slots, 1 << 28)
            : throw new ArgumentException($"{Name} on {Gpus} x {gpu.Name}: {Math.Max(0, slots):0} KV slots are left beside the weights, "
                + $"needed at least one context of {Context}");
    }
}
