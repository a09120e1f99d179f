using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 2: where KV memory goes.</summary>
internal sealed class Figure2 : Figure
{
    private static readonly (ServingPolicy Policy, double[] Paper, double Points)[] Expected =
    [
        (ServingPolicy.OrcaMax, [20.4, 13.3, 57.3, 8.9], 2),
        (ServingPolicy.OrcaPow2, [26.8, 17.9, 13.6, 41.6], 5),
        (ServingPolicy.OrcaOracle, [38.2, 25.2, 0, 36.6], 5),
    ];

    private static readonly string[] Parts = ["token states", "reserved", "internal", "external"];

    public override string Id => "2";

    public override string Title => "Where KV memory goes (OPT-13B, ShareGPT lengths, 2 requests/s)";

    public override string Notes =>
        "Shares of the pool, averaged over the time in which requests arrive. Rounding up to a chunk counts as external: nobody will ever use "
        + "it. The paper states the shares of token states; how the rest splits is read off its bars. For the paged pool the published 96.3 % is "
        + "set against the slots of allocated blocks that hold a token.";

    public override IEnumerable<Cell> Cells() => Figure13.ShareGptCells();

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach ((ServingPolicy policy, double[] paper, double points) in Expected)
        {
            double[] ours = Split(results.Run(Figure13.ShareGptKey(policy)).Memory);
            for (int i = 0; i < Parts.Length; i++)
                yield return new FigureRow(Id, policy.Title(), $"{Parts[i]}, % of the pool", paper[i], ours[i], Math.Max(0, paper[i] - points),
                    paper[i] + points, RowKind.Check);
        }
        double held = 100 * results.Run(Figure13.ShareGptKey(ServingPolicy.Paper)).Memory.OfAllocated;
        yield return new FigureRow(Id, ServingPolicy.Paper.Title(), "token states, % of allocated blocks", 96.3, held, 96, 100, RowKind.Prediction);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        ServingPolicy[] policies = [.. Expected.Select(static e => e.Policy), ServingPolicy.Paper];
        yield return ("figure-2", new SvgPlot
        {
            Title = "KV memory, OPT-13B, ShareGPT lengths at 2 requests/s",
            XLabel = "",
            YLabel = "% of the pool",
            YMax = 100,
            IsStacked = true,
            Groups = [.. policies.Select(static p => p.Title())],
            Series = [.. Parts.Select((part, i) =>
                new PlotSeries(part, [.. policies.Select((p, g) => ((double)g, Split(results.Run(Figure13.ShareGptKey(p)).Memory)[i]))]))],
        });
    }

    private static double[] Split(in MemorySplit memory) =>
        [100 * memory.Tokens, 100 * memory.Reserved, 100 * memory.Internal, 100 * memory.External];
}
