namespace NativeLM.Tests.Kernel;

/// <summary>What varies between attention calls besides shapes.</summary>
internal sealed record AttentionOptions
{
    public float Scale { get; init; } = 1;

    public int Window { get; init; }

    public float Softcap { get; init; }

    public int SplitKeys { get; init; }

    public float[]? AlibiSlopes { get; init; }

    public float[]? Sinks { get; init; }
}
