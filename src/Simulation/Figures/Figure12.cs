using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>Figure 12: the highest rate each policy sustains, one sequence per request.</summary>
internal sealed class Figure12 : Figure
{
    private static readonly Published Any = new(0, 22); // "up to 22 x" FasterTransformer
    private static readonly Published ToOracle = new(1.7, 2.7);
    private static readonly Published ToMax = new(2.7, 8);
    private static readonly ModelShape Opt66 = ModelShape.Load("opt-66b"), Opt175 = ModelShape.Load("opt-175b");
    private static readonly GpuSpec A100Large = GpuSpec.Load("a100-80");

    // Ratios of the paged policy to each baseline, in the order of PaperPolicies: what is published, what the model should give, and by how much it
    // may differ.
    private static readonly Panel[] Panels =
    [
        new(Opt13, A100, FittedWorkload.ShareGpt, Hour, 2,
            [(Any, 8.5, 0.30, RowKind.Prediction), (ToMax, 2.92, 0.08, RowKind.Prediction), (null, 2.11, 0.08, RowKind.Prediction),
                (ToOracle, 1.68, 0.08, RowKind.Prediction)]),
        new(Opt13, A100, FittedWorkload.Alpaca, Hour, 30,
            [(Any, 18, 0.30, RowKind.Prediction), (null, 8.4, 0.10, RowKind.Prediction), (null, 1.77, 0.10, RowKind.Prediction),
                (1.3, 1.22, 0.10, RowKind.Prediction)]),
        new(Opt66, A100, FittedWorkload.ShareGpt, Hour, 1,
            [(Any, 9.1, 0.30, RowKind.Prediction), (ToMax, 4.2, 0.10, RowKind.Prediction), (null, 2.75, 0.10, RowKind.Prediction),
                (ToOracle, 2.12, 0.10, RowKind.Prediction)]),
        new(Opt66, A100, FittedWorkload.Alpaca, Hour, 20,
            [(Any, 25, 0.30, RowKind.Prediction), (null, 13, 0.10, RowKind.Prediction), (null, 2.46, 0.10, RowKind.Prediction),
                (null, 1.55, 0.10, RowKind.Prediction)]),
        new(Opt175, A100Large, FittedWorkload.ShareGpt, Hour / 4, 3,
            [(Any, 10.3, 0.30, RowKind.Prediction), (ToMax, 2.00, 0.10, RowKind.Miss), (null, 1.54, 0.10, RowKind.Prediction),
                (ToOracle, 1.29, 0.10, RowKind.Miss)]),
        new(Opt175, A100Large, FittedWorkload.Alpaca, Hour / 4, 20,
            [(Any, 9.5, 0.30, RowKind.Prediction), (null, 3.0, 0.10, RowKind.Prediction), (null, 1.0, 0.10, RowKind.Prediction),
                (new Published(1, 1.1), 1.0, 0.10, RowKind.Prediction)]),
    ];

    public override string Id => "12";

    public override string Title => "Sustained rate, one sequence per request";

    public override string Notes =>
        "The rate at which the mean normalised latency reaches 0.5 s/token; the ratios hardly depend on that threshold. FasterTransformer's "
        + "rate does, by 30 %: its latency is that of a whole batch. OPT-175B with ShareGPT lengths is an honest miss: 1.3 x Oracle against the "
        + "paper's 1.7-2.7 x. It rises with a larger fixed cost per step, of the order of the remote calls and launches of 2023, as the rows with "
        + "35 ms show; the paper does not state one, so none is assumed beyond that of one GPU and the collectives. With Alpaca lengths OPT-175B "
        + "is bound by computation, and paging gains nothing, as in the paper.";

    public override IEnumerable<Cell> Cells() => Panels.SelectMany(panel =>
        PaperPolicies.Select(p =>
            Rate(panel.Key(p), panel.Setting(p), panel.Workload, panel.Guess * (p == ServingPolicy.Paper ? 1 : 0.6), panel.Duration)))
        .Concat(SlowHostPolicies.Select(p =>
            Rate(SlowHostKey(p), Setting(p, Opt175, A100Large) with { Host = A100Large.PaperOverhead with { Step = 0.035 } },
                FittedWorkload.ShareGpt, 1.5, Hour / 4)));

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach (Panel panel in Panels)
        {
            double paged = results[panel.Key(ServingPolicy.Paper)];
            for (int i = 0; i < panel.Ratios.Length; i++)
            {
                (Published? paper, double expected, double share, RowKind kind) = panel.Ratios[i];
                yield return Within($"{panel.Model.Name} {panel.Workload.Name}, to {PaperPolicies[i].Title()}", "rate / rate", paper,
                    paged / results[panel.Key(PaperPolicies[i])], expected, share, kind);
            }
        }
        double slow = results[SlowHostKey(ServingPolicy.Paper)];
        yield return Within($"{Opt175.Name} sharegpt, 35 ms per step, to {ServingPolicy.OrcaMax.Title()}", "rate / rate", ToMax,
            slow / results[SlowHostKey(ServingPolicy.OrcaMax)], 2.69, 0.10, RowKind.Prediction);
        yield return Within($"{Opt175.Name} sharegpt, 35 ms per step, to {ServingPolicy.OrcaOracle.Title()}", "rate / rate", ToOracle,
            slow / results[SlowHostKey(ServingPolicy.OrcaOracle)], 1.54, 0.10,
            RowKind.Miss);
        double first = results[Panels[0].Key(ServingPolicy.Paper)];
        yield return Within($"{Opt13.Name} sharegpt, {ServingPolicy.Paper.Title()}", "requests/s", 2, first, 2.21, 0.08, RowKind.Prediction);
    }

    public override IEnumerable<Cell> PlotCells(CellResults results)
    {
        foreach (Panel panel in Panels)
            foreach (ServingPolicy policy in PaperPolicies)
                foreach (double share in Shares)
                    yield return Run(panel.Key(policy, share), panel.Setting(policy), panel.Workload, share * results[panel.Key(policy)],
                        panel.Duration, stopAbove: 2);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results) =>
        Panels.Select(panel => ($"figure-12-{panel.Model.Name}-{panel.Workload.Name}", new SvgPlot
        {
            Title = $"{panel.Model.Name}, {panel.Workload.Name} lengths",
            XLabel = "requests/s",
            YLabel = "normalised latency, s/token",
            YMax = 1,
            Series = [.. PaperPolicies.Select(p =>
            new PlotSeries(p.Title(), [.. Shares.Select(share => (share * results[panel.Key(p)], results[panel.Key(p, share)]))]))],
        }));

    private static ServingPolicy[] SlowHostPolicies => [ServingPolicy.OrcaMax, ServingPolicy.OrcaOracle, ServingPolicy.Paper];

    private static double[] Shares => [0.2, 0.5, 0.7, 0.85, 0.95, 1, 1.05];

    private static string SlowHostKey(ServingPolicy policy) => $"12/slow host/{policy.Word()}";

    private sealed record Panel(ModelShape Model, GpuSpec Gpu, Workload Workload, double Duration, double Guess,
        (Published?, double, double, RowKind)[] Ratios)
    {
        public string Key(ServingPolicy policy) => $"12/{Model.Name}/{Workload.Name}/{policy.Word()}";

        public string Key(ServingPolicy policy, double share) => FormattableString.Invariant($"{Key(policy)}/{share}");

        public Scenario Setting(ServingPolicy policy) => Figure.Setting(policy, Model, Gpu);
    }
}
