namespace NativeLM.Engine;

/// <summary>What a template may use. Templates are programs from model files, so each of these ends a hostile one.</summary>
public sealed record TemplateLimits
{
    /// <summary>Largest template, in characters.</summary>
    public int SourceMax { get; init; } = 1 << 20;

    /// <summary>Steps: one per operation, loop turn, list item and eight characters of text built.</summary>
    public long StepsMax { get; init; } = 10_000_000;

    /// <summary>Longest output, and longest text on the way, in UTF-16 units.</summary>
    public int OutputMax { get; init; } = 4 << 20;

    /// <summary>Nesting of expressions, statements, macro calls and values together.</summary>
    public int DepthMax { get; init; } = 400;
}
