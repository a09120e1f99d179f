using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 17: a chatbot whose prompts are long.</summary>
internal sealed class Figure17 : Figure
{
    private static readonly ServingPolicy[] Orcas = [ServingPolicy.OrcaMax, ServingPolicy.OrcaPow2, ServingPolicy.OrcaOracle];

    public override string Id => "17";

    public override string Title => "Chatbot: the last 1024 tokens as prompt, KV not kept between rounds (OPT-13B)";

    public override string Notes =>
        "Two honest misses. The paper reports 2 x; the model gives less, although its pool seats more than twice as many requests: long prompts "
        + "cost prefill time, which paging does not save. And the paper's three Orcas are alike, because a prompt of 1024 takes a chunk of 2048 "
        + "whatever is reserved; here 45 % of the prompts are shorter, some of those fit a chunk of 1024, and so Oracle does slightly better than "
        + "Max.";

    public override IEnumerable<Cell> Cells() =>
        Orcas.Append(ServingPolicy.Paper).Select(p => Rate(Key(p), Setting(p), FittedWorkload.Chat, p == ServingPolicy.Paper ? 0.95 : 0.66));

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        yield return Within("paged to Orca (Max)", "rate / rate", 2, results[Key(ServingPolicy.Paper)] / results[Key(ServingPolicy.OrcaMax)], 1.5,
            0.10, RowKind.Miss);
        yield return Within("paged to Orca (Oracle)", "rate / rate", 2, results[Key(ServingPolicy.Paper)] / results[Key(ServingPolicy.OrcaOracle)],
            1.37, 0.10, RowKind.Miss);
        yield return Within("Orca (Oracle) to Orca (Max)", "rate / rate", 1,
            results[Key(ServingPolicy.OrcaOracle)] / results[Key(ServingPolicy.OrcaMax)], 1.09, 0.05, RowKind.Miss);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("figure-17", new SvgPlot
        {
            Title = "Sustained rate of a chatbot, OPT-13B",
            XLabel = "",
            YLabel = "requests/s",
            Groups = [.. Orcas.Append(ServingPolicy.Paper).Select(static p => p.Title())],
            Series = [new PlotSeries("simulated", [.. Orcas.Append(ServingPolicy.Paper).Select((p, g) => ((double)g, results[Key(p)]))])],
        });
    }

    private static string Key(ServingPolicy policy) => $"17/{policy.Word()}";
}
