using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 18b: latency by block size.</summary>
internal sealed class Figure18 : Figure
{
    private const double StopAbove = 50;
    private static readonly int[] BlockSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    private static readonly (Workload Workload, double Rate, int[] Good)[] Panels = [(FittedWorkload.ShareGpt, 1.9, [16, 32, 64]),
        (FittedWorkload.Alpaca, 30, [16, 32])];

    public override string Id => "18b";

    public override string Title => "Normalised latency by block size (OPT-13B)";

    public override string Notes =>
        "Only the right side is predicted: large blocks waste memory. That small blocks slow the attention kernel down needs that kernel's "
        + "measured speed by block size and is not modelled, so the left side is flat. The paper publishes curves, not numbers; the rows state "
        + "what it says in words. At 128 and 256 the pool is saturated, and there the mean depends steeply on the very rate.";

    public override IEnumerable<Cell> Cells()
    {
        foreach ((Workload workload, double rate, _) in Panels)
            foreach (int size in BlockSizes)
                yield return Run(Key(workload, size), Setting(ServingPolicy.Paper) with { BlockSize = size }, workload, rate, Hour, StopAbove);
    }

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach ((Workload workload, double rate, int[] good) in Panels)
        {
            double at16 = results[Key(workload, 16)];
            yield return Within($"{workload.Name} at {rate}/s, block 16", "s/token", null, at16, workload == FittedWorkload.ShareGpt ? 0.06 : 0.074,
                0.20, RowKind.Prediction);
            foreach (int size in good.Skip(1))
                yield return new FigureRow(Id, $"{workload.Name}, block {size}: as good as 16", "latency / latency at 16", 1,
                    results[Key(workload, size)] / at16, 0.8, 1.25, RowKind.Prediction);
            yield return new FigureRow(Id, $"{workload.Name}, block 256: worse", "latency / latency at 16", null,
                double.IsNaN(results[Key(workload, 256)]) ? StopAbove / at16 : results[Key(workload, 256)] / at16, 2, FigureRow.Unbounded,
                    RowKind.Prediction);
        }
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("figure-18b", new SvgPlot
        {
            Title = "Normalised latency by block size, OPT-13B",
            XLabel = "block size, tokens",
            YLabel = "s/token",
            IsXLogarithmic = true,
            IsYLogarithmic = true,
            Series = [.. Panels.Select(panel =>
                new PlotSeries($"{panel.Workload.Name} at {panel.Rate}/s",
                    [.. BlockSizes.Select(b => ((double)b, results[Key(panel.Workload, b)]))]))],
        });
    }

    private static string Key(Workload workload, int blockSize) => $"18b/{workload.Name}/{blockSize}";
}
