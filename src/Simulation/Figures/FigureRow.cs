namespace NativeLM.Simulation.Figures;

/// <summary>What a row of the evaluation says about the model.</summary>
internal enum RowKind
{
    /// <summary>Constants were fitted to this figure: the row checks that the model is consistent.</summary>
    Check,

    /// <summary>Nothing was fitted to it.</summary>
    Prediction,

    /// <summary>The model does not give the published value. Bounded all the same, so that no change moves it by accident.</summary>
    Miss,

    /// <summary>Not in the paper.</summary>
    Own,
}

/// <summary>Lowest and highest published value; equal where one is published.</summary>
internal readonly record struct Published(double Low, double High)
{
    /// <summary>A single value.</summary>
    public static implicit operator Published(double value) => new(value, value);
}

/// <summary>One number of one figure: the paper's, ours, and how far ours may be from it.</summary>
/// <param name="Figure">Number of the figure.</param>
/// <param name="Case">What was run.</param>
/// <param name="Measure">What was measured, with its unit.</param>
/// <param name="Paper">The published value; null if there is none.</param>
/// <param name="Ours">What the simulation gives.</param>
/// <param name="Low">Lowest value that passes.</param>
/// <param name="High">Highest value that passes.</param>
/// <param name="Kind">What the row is.</param>
internal sealed record FigureRow(string Figure, string Case, string Measure, Published? Paper, double Ours, double Low, double High, RowKind Kind)
{
    /// <summary>The upper bound of a row that has none.</summary>
    public const double Unbounded = 1e6;

    /// <summary>True if ours is within its bounds.</summary>
    public bool IsWithin => Ours >= Low && Ours <= High;

    /// <summary>Ours / the paper's (the nearer end of a range, so 1 inside it); null without one.</summary>
    public double? Ratio => Paper is Published paper ? Ours / Math.Clamp(Ours, paper.Low, paper.High) : null;

    /// <summary>In one word, or a few.</summary>
    public string Verdict => !IsWithin ? "OUT OF BOUNDS" : Kind == RowKind.Miss ? "known miss" : "ok";
}
