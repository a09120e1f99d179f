using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 14: several sequences per request, sampled in parallel or searched with beams.</summary>
internal sealed class Figure14 : Figure
{
    // Paged / Oracle: what is published, what the model should give.
    private static readonly (int Width, bool IsBeam, Published? Paper, double Expected, RowKind Kind)[] Points =
    [
        (1, false, 1.3, 1.23, RowKind.Prediction), (2, false, null, 1.26, RowKind.Prediction), (4, false, null, 1.21, RowKind.Miss),
            (6, false, null, 1.19, RowKind.Miss),
        (2, true, null, 1.29, RowKind.Miss), (4, true, null, 1.30, RowKind.Miss), (6, true, 2.3, 1.32, RowKind.Miss),
    ];

    public override string Id => "14";

    public override string Title => "Parallel sampling and beam search (OPT-13B, Alpaca lengths), paged to Orca (Oracle)";

    public override string Notes =>
        "Every sequence of a request has the request's output length. Beams go on from another beam with probability 0.05 per step, which forks "
        + "and frees blocks in the real block manager; Oracle keeps a chunk per beam. Honest misses: the paper's gain rises with the width, from "
        + "1.3 x to 2.3 x at beam width 6; here it does not. With parallel samples the pool is full, and the paper's rule that a request of "
        + "several sequences is swapped costs as much as a step for each one preempted. With beams, blocks are plentiful (at widths 4 and 6 a "
        + "third of the pool stays free): 256 sequences in a step are the limit, and each pays the host's part. What the baseline pays for its "
        + "beams, copies of whole sequences and their launches, is not modelled.";

    public override IEnumerable<Cell> Cells()
    {
        foreach ((int width, bool isBeam, _, _, _) in Points)
        {
            yield return Rate(Key(ServingPolicy.OrcaOracle, width, isBeam),
                Setting(ServingPolicy.OrcaOracle) with { Width = width, IsBeam = isBeam }, FittedWorkload.Alpaca, 28.0 / width);
            yield return Rate(Key(ServingPolicy.Paper, width, isBeam), Setting(ServingPolicy.Paper) with { Width = width, IsBeam = isBeam },
                FittedWorkload.Alpaca, (isBeam ? 42.0 : 36.0) / width);
        }
    }

    public override IEnumerable<FigureRow> Rows(CellResults results) =>
        Points.Select(p => Within(Name(p.Width, p.IsBeam), "rate / rate", p.Paper, Ratio(results, p.Width, p.IsBeam), p.Expected, 0.08, p.Kind));

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("figure-14", new SvgPlot
        {
            Title = "Sustained rate, OPT-13B, Alpaca lengths",
            XLabel = "sequences per request",
            YLabel = "requests/s",
            Groups = [.. Points.Select(static p => Name(p.Width, p.IsBeam))],
            Series = [.. ((ServingPolicy[])[ServingPolicy.OrcaOracle, ServingPolicy.Paper]).Select(policy =>
                new PlotSeries(policy.Title(), [.. Points.Select((p, g) => ((double)g, results[Key(policy, p.Width, p.IsBeam)]))]))],
        });
    }

    /// <summary>Paged / Oracle at a width.</summary>
    public static double Ratio(CellResults results, int width, bool isBeam) =>
        results[Key(ServingPolicy.Paper, width, isBeam)] / results[Key(ServingPolicy.OrcaOracle, width, isBeam)];

    private static string Name(int width, bool isBeam) => isBeam ? $"beam width {width}" : $"n = {width}";

    // One sequence per request is the cell of figure 12.
    private static string Key(ServingPolicy policy, int width, bool isBeam) =>
        width == 1 ? $"12/opt-13b/alpaca/{policy.Word()}" : $"14/{(isBeam ? "beam" : "parallel")}/{width}/{policy.Word()}";
}
