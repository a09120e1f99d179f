using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>The prefix cache on a recorded trace whose best possible reuse is known.</summary>
internal sealed class MooncakeTable(string path) : Figure
{
    private const int Unbounded = 50_000; // the trace has 43,924 different blocks
    private static readonly int[] Pools = [2_000, 8_000, 20_000, Unbounded];

    private readonly Trace _trace = TraceReader.Read(path);

    public override string Id => "mooncake";

    public override string Title => "Prefix cache on Mooncake's synthetic trace: full blocks of 512 tokens found, of 117,888 looked up";

    public override string Notes =>
        "Not in the paper. Prompts are replayed one after the other through the real block manager. With room for everything the count must be "
        + "the exact upper bound that the trace's own ids give; a smaller pool finds less. The trace is Mooncake's (Qin et al., FAST 2025).";

    public override IEnumerable<Cell> Cells() =>
        Pools.Select(pool => new Cell(Key(pool), _ => new CellResult(PrefixReplay.Run(_trace.Requests, pool).Found)));

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        double last = 0;
        foreach (int pool in Pools)
        {
            double found = results[Key(pool)];
            yield return pool == Unbounded
                ? new FigureRow(Id, "pool without bound", "blocks found", 77_740, found, 77_740, 77_740, RowKind.Own)
                : new FigureRow(Id, $"pool of {pool} blocks", "blocks found", null, found, last, 77_740, RowKind.Own);
            last = found;
        }
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("mooncake", new SvgPlot
        {
            Title = "Blocks found in the prefix cache, Mooncake's synthetic trace",
            XLabel = "blocks of the pool",
            YLabel = "% of blocks looked up",
            Series = [new PlotSeries("found", [.. Pools.Select(p => ((double)p, 100 * results[Key(p)] / 117_888))])],
        });
    }

    private static string Key(int pool) => $"mooncake/{pool}";
}
