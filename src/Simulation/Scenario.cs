using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;

namespace NativeLM.Simulation;

/// <summary>Everything that decides a run but the requests: model, GPU, policy and its settings.</summary>
internal sealed record Scenario
{
    /// <summary>The model.</summary>
    public required ModelShape Model { get; init; }

    /// <summary>The GPU.</summary>
    public required GpuSpec Gpu { get; init; }

    /// <summary>The policy.</summary>
    public required ServingPolicy Policy { get; init; }

    /// <summary>Token slots of a block (paged policies).</summary>
    public int BlockSize { get; init; } = 16;

    /// <summary>Sequences of each request: parallel samples or beams.</summary>
    public int Width { get; init; } = 1;

    /// <summary>True if the sequences of a request are beams.</summary>
    public bool IsBeam { get; init; }

    /// <summary>Probability that a beam goes on from another beam instead of itself, per step.</summary>
    public double ReparentProbability { get; init; } = 0.05;

    /// <summary>Reuse of prompt blocks across requests; null: as the policy has it (nativelm on, paper off).</summary>
    public bool? PrefixCache { get; init; }

    /// <summary>
    /// With the paper's policy: prompts that arrive while others are computed go before the next decodes, as in the code of 2023. Otherwise a pass
    /// for prompts is followed by one for decodes, which is what the cost model's constants were fitted with.
    /// </summary>
    public bool PromptsGoFirst { get; init; }

    /// <summary>KV token slots; null: what the model leaves on the GPU.</summary>
    public int? KvSlots { get; init; }

    /// <summary>Host memory for swapped blocks, bytes.</summary>
    public double SwapBytes { get; init; } = 4.0 * (1L << 30);

    /// <summary>The host's part of a step; null: as the policy's engine has it on this GPU.</summary>
    public HostOverhead? Host { get; init; }

    /// <summary>Seed of arrivals, lengths and lineages.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>
    /// Most sequences in a step. The paper's engine stops at 256, and so do the Orca baselines, which the paper builds into it; ours at its default
    /// for the memory of the GPU.
    /// </summary>
    public int SequencesMax => Policy == ServingPolicy.NativeLM && IsLarge ? 1024 : 256;

    /// <summary>Most tokens in a step: the paper's engine takes 2560, or a whole context if that is longer; ours its default.</summary>
    public int TokensMax => Policy == ServingPolicy.NativeLM ? IsLarge ? 8192 : 2048 : Math.Max(2560, Model.Context);

    /// <summary>KV token slots of the pool.</summary>
    public int Slots => KvSlots ?? Model.KvSlots(Gpu);

    /// <summary>A GPU of at least 70 GiB, to which larger defaults apply.</summary>
    private bool IsLarge => Gpu.MemoryBytes >= 70.0 * (1L << 30);

    /// <summary>What its steps cost.</summary>
    public CostModel Costs() => new(Model, Gpu, Host ?? Policy switch
    {
        ServingPolicy.NativeLM => Gpu.NativeOverhead,
        ServingPolicy.Static => Gpu.StaticOverhead,
        _ => Gpu.PaperOverhead,
    }, BlockSize);
}
