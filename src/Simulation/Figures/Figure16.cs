using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 16: a prefix that all prompts share.</summary>
internal sealed class Figure16 : Figure
{
    private static readonly ModelShape Llama = ModelShape.Load("llama-13b");
    private static readonly (int Prefix, string Name, double Paper, double Guess)[] Points = [(80, "one example, 80 tokens", 1.67, 36),
        (341, "five examples, 341 tokens", 3.58, 28)];

    public override string Id => "16";

    public override string Title => "A shared prefix (LLaMA-13B, translation), paged to Orca (Oracle)";

    public override string Notes =>
        "The paged policy keeps the prefix's full blocks in the prefix cache, which stands for the paper's prefix stored by the operator; the "
        + "tokens behind the last full block are computed for each request.";

    public override IEnumerable<Cell> Cells()
    {
        foreach ((int prefix, _, _, double guess) in Points)
        {
            yield return Rate(Key(prefix, ServingPolicy.OrcaOracle), Setting(ServingPolicy.OrcaOracle, Llama), FittedWorkload.Wmt(prefix),
                guess / 2, Hour / 2);
            yield return Rate(Key(prefix, ServingPolicy.Paper), Setting(ServingPolicy.Paper, Llama) with { PrefixCache = true },
                FittedWorkload.Wmt(prefix), guess, Hour / 2);
        }
    }

    public override IEnumerable<FigureRow> Rows(CellResults results) =>
        Points.Select(p => Within(p.Name, "rate / "
            + "rate", p.Paper, results[Key(p.Prefix, ServingPolicy.Paper)] / results[Key(p.Prefix, ServingPolicy.OrcaOracle)], p.Paper, 0.15,
                RowKind.Prediction));

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("figure-16", new SvgPlot
        {
            Title = "Sustained rate with a shared prefix, LLaMA-13B",
            XLabel = "",
            YLabel = "requests/s",
            Groups = [.. Points.Select(static p => p.Name)],
            Series = [.. ((ServingPolicy[])[ServingPolicy.OrcaOracle, ServingPolicy.Paper]).Select(policy =>
                new PlotSeries(policy.Title(), [.. Points.Select((p, g) => ((double)g, results[Key(p.Prefix, policy)]))]))],
        });
    }

    private static string Key(int prefix, ServingPolicy policy) => $"16/{prefix}/{policy.Word()}";
}
