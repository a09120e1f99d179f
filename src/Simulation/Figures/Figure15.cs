using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 15: blocks saved by sharing.</summary>
internal sealed class Figure15 : Figure
{
    // Paper: the published ends of the range over widths 2 to 6; bounds in points.
    private static readonly Panel[] Panels =
    [
        new(FittedWorkload.Alpaca, false, 24, Hour / 4, new(6.1, 9.8), 3, 3),
        new(FittedWorkload.ShareGpt, false, 1.2, 2 * Hour, new(16.2, 30.5), 3, 3),
        new(FittedWorkload.Alpaca, true, 24, Hour / 4, new(37.6, 55.2), 4, 4),
        new(FittedWorkload.ShareGpt, true, 1.2, 2 * Hour, new(44.3, 66.3), 4, 11),
    ];

    private static readonly int[] Widths = [2, 4, 6];

    public override string Id => "15";

    public override string Title => "Blocks saved by sharing, % of the blocks without sharing (OPT-13B)";

    public override string Notes =>
        "1 - physical / logical blocks of the real block manager, both summed over the steps of a trace at a moderate load. How often a beam "
        + "goes on from another is not published; with 0.05 per step the Alpaca rows come out, and long ShareGPT outputs share somewhat more at "
        + "width 6 than the paper's beams did. The saving hardly depends on the load.";

    public override IEnumerable<Cell> Cells()
    {
        foreach (Panel panel in Panels)
            foreach (int width in Widths)
                yield return Run(panel.Key(width), Setting(ServingPolicy.Paper) with { Width = width, IsBeam = panel.IsBeam }, panel.Workload,
                    panel.Rate / width, panel.Duration);
    }

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach (Panel panel in Panels)
            foreach (int width in Widths)
                yield return new FigureRow(Id, panel.Name(width), "% saved", panel.Paper, 100 * results.Run(panel.Key(width)).SharingSaved,
                    panel.Paper.Low - panel.Below, panel.Paper.High + (width == 6 ? panel.Above : Math.Min(panel.Above, 4)), RowKind.Prediction);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("figure-15", new SvgPlot
        {
            Title = "Blocks saved by sharing, OPT-13B",
            XLabel = "sequences per request",
            YLabel = "% of the blocks without sharing",
            Groups = [.. Widths.Select(static w => $"{w}")],
            Series = [.. Panels.Select(panel => new PlotSeries($"{(panel.IsBeam ? "beam" : "parallel")}, {panel.Workload.Name}",
                [.. Widths.Select((w, g) => ((double)g, 100 * results.Run(panel.Key(w)).SharingSaved))]))],
        });
    }

    private sealed record Panel(Workload Workload, bool IsBeam, double Rate, double Duration, Published Paper, double Below, double Above)
    {
        public string Key(int width) => $"15/{Workload.Name}/{(IsBeam ? "beam" : "parallel")}/{width}";

        public string Name(int width) => $"{Workload.Name}, {(IsBeam ? "beam width" : "n =")} {width}";
    }
}
