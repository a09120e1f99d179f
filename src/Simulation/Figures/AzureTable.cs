using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Recorded lengths of a public service instead of fitted ones.</summary>
internal sealed class AzureTable(string trace) : Figure
{
    private const int LengthMax = 1024;
    private static readonly double[] Expected = [4.7, 1.9, 1.4, 1.4];

    private readonly RecordedWorkload _workload = new(trace, TraceReader.Read(trace), Opt13.Context, LengthMax);

    public override string Id => "azure";

    public override string Title => "Recorded lengths: Azure LLM inference trace 2023, conversations up to 1024 tokens (OPT-13B)";

    public override string Notes =>
        $"Not in the paper. {_workload.Origin}; Poisson arrivals. The trace is Azure's, CC-BY (Patel et al., Splitwise, ISCA 2024).";

    public override IEnumerable<Cell> Cells() => PaperPolicies.Select(p => Rate(Key(p), Setting(p), _workload, p == ServingPolicy.Paper ? 2.6 : 1.6));

    public override IEnumerable<FigureRow> Rows(CellResults results) =>
        Expected.Select((expected, i) => Within($"paged to {PaperPolicies[i].Title()}", "rate / rate", null,
        results[Key(ServingPolicy.Paper)] / results[Key(PaperPolicies[i])], expected, i == 0 ? 0.30 : 0.10, RowKind.Own));

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("azure", new SvgPlot
        {
            Title = "Sustained rate, OPT-13B, Azure conversations",
            XLabel = "",
            YLabel = "requests/s",
            Groups = [.. PaperPolicies.Select(static p => p.Title())],
            Series = [new PlotSeries("simulated", [.. PaperPolicies.Select((p, g) => ((double)g, results[Key(p)]))])],
        });
    }

    private static string Key(ServingPolicy policy) => $"azure/{policy.Word()}";
}
