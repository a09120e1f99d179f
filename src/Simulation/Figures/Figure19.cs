using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 19a: bringing 1,024 tokens back by swapping or by recomputing them.</summary>
internal sealed class Figure19 : Figure
{
    private const int Tokens = 1024;

    // Milliseconds to swap out and in, by block size, that the model should give.
    private static readonly (int BlockSize, double Swap)[] Points = [(1, 1778), (4, 549), (16, 242), (32, 191), (64, 165), (256, 146)];

    public override string Id => "19";

    public override string Title => "Swapping 1024 tokens out and in, or recomputing them (OPT-13B)";

    public override string Notes =>
        "A closed form of the cost model: no scheduler runs. Swapping pays per block, layer and K or V, so small blocks are poor; recomputing "
        + "does not see blocks, and never costs more than 1.2 x the swap, as the paper says. Why the bandwidth is 12 GB/s and not the specified "
        + "25: with 25 the figure could not come out.";

    public override IEnumerable<Cell> Cells() => [];

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        double recompute = Recompute();
        yield return Within("recompute", "ms", null, 1000 * recompute, 169, 0.05, RowKind.Prediction);
        foreach ((int size, double expected) in Points)
        {
            double swap = Swap(size);
            yield return Within($"block {size}, swap out and in", "ms", null, 1000 * swap, expected, 0.05, RowKind.Prediction);
            yield return new FigureRow(Id, $"block {size}, recompute", "of the swap", new Published(0, 1.2), recompute / swap, 0, 1.2,
                RowKind.Prediction);
        }
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        int[] sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256];
        yield return ("figure-19", new SvgPlot
        {
            Title = "Bringing back 1024 tokens, OPT-13B",
            XLabel = "block size, tokens",
            YLabel = "ms",
            IsXLogarithmic = true,
            IsYLogarithmic = true,
            Series =
            [
                new PlotSeries("recompute", [.. sizes.Select(static b => ((double)b, 1000 * Recompute()))]),
                new PlotSeries("swap out and in", [.. sizes.Select(static b => ((double)b, 1000 * Swap(b)))]),
            ],
        });
    }

    private static double Recompute() => Setting(ServingPolicy.Paper).Costs().Pass(0, 0, Tokens, CostModel.Pairs(0, Tokens));

    private static double Swap(int blockSize) => 2 * (Setting(ServingPolicy.Paper) with { BlockSize = blockSize }).Costs().Swap(Tokens / blockSize);
}
