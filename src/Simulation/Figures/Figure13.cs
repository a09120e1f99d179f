using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 13: how many requests are batched.</summary>
internal sealed class Figure13 : Figure
{
    private static readonly ServingPolicy[] Policies = [ServingPolicy.OrcaMax, ServingPolicy.OrcaPow2, ServingPolicy.OrcaOracle, ServingPolicy.Paper];
    private static readonly (Workload Workload, double Rate, double[] Paper, double Share)[] Panels =
    [
        (FittedWorkload.ShareGpt, 2, [7.00, 9.81, 13.62, 30.42], 0.08),
        (FittedWorkload.Alpaca, 30, [7.00, 43.24, 72.75, 132.44], 0.10),
    ];

    private const string PromptsFirst = "13/alpaca/prompts first";

    public override string Id => "13";

    public override string Title => "Mean number of batched requests (OPT-13B; ShareGPT lengths at 2 requests/s, Alpaca lengths at 30)";

    public override string Notes =>
        "Averages over the time in which requests arrive. The second moments of the fitted lengths, and the host's part of a step, were chosen "
        + "so that these come out (by Little's law); so they check the model's consistency and predict nothing. They were fitted with one decode "
        + "pass after each prefill pass. The code of 2023 lets prompts go first for as long as any waits; with the same constants that batches "
        + "more, which the last row shows as a miss.";

    public static IEnumerable<Cell> ShareGptCells() => PanelCells(Panels[0].Workload, Panels[0].Rate);

    public static string ShareGptKey(ServingPolicy policy) => Key(FittedWorkload.ShareGpt, policy);

    public override IEnumerable<Cell> Cells() => Panels.SelectMany(static p => PanelCells(p.Workload, p.Rate))
        .Append(Run(PromptsFirst, Setting(ServingPolicy.Paper) with { PromptsGoFirst = true }, FittedWorkload.Alpaca, 30));

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach ((Workload workload, double rate, double[] paper, double share) in Panels)
            for (int i = 0; i < Policies.Length; i++)
                yield return Within($"{workload.Name} at {rate}/s, {Policies[i].Title()}", "batched requests", paper[i],
                    results.Run(Key(workload, Policies[i])).BatchedRequests, paper[i], share, RowKind.Check);
        yield return Within($"alpaca at 30/s, {ServingPolicy.Paper.Title()}, prompts first", "batched requests", 132.44,
            results.Run(PromptsFirst).BatchedRequests, 180, 0.10, RowKind.Miss);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results) =>
        Panels.Select(panel => ($"figure-13-{panel.Workload.Name}", new SvgPlot
        {
            Title = $"Batched requests, OPT-13B, {panel.Workload.Name} at {panel.Rate} requests/s",
            XLabel = "",
            YLabel = "requests",
            Groups = [.. Policies.Select(static p => p.Title())],
            Series =
        [
            new PlotSeries("the paper", [.. panel.Paper.Select(static (value, g) => ((double)g, value))]),
            new PlotSeries("simulated", [.. Policies.Select((p, g) => ((double)g, results.Run(Key(panel.Workload, p)).BatchedRequests))]),
        ],
        }));

    private static IEnumerable<Cell> PanelCells(Workload workload, double rate) =>
        Policies.Select(p => Run(Key(workload, p), Setting(p), workload, rate));

    private static string Key(Workload workload, ServingPolicy policy) => $"13/{workload.Name}/{policy.Word()}";
}
