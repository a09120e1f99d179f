using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>A figure of the paper's evaluation, or a table of our own: what has to run, the rows that come out, and a plot of them.</summary>
internal abstract class Figure
{
    /// <summary>Mean normalised latency at which a rate still counts as sustained, s/token.</summary>
    public const double LatencyBound = 0.5;

    /// <summary>Seed of every run.</summary>
    public const ulong Seed = 1;

    /// <summary>Traces are an hour long, as in the paper (section 6.1); a quarter for OPT-175B.</summary>
    protected const double Hour = 3600;

    /// <summary>The baselines, weakest first, and the paper's policy.</summary>
    protected static readonly ServingPolicy[] PaperPolicies =
        [ServingPolicy.Static, ServingPolicy.OrcaMax, ServingPolicy.OrcaPow2, ServingPolicy.OrcaOracle, ServingPolicy.Paper];

    protected static readonly ModelShape Opt13 = ModelShape.Load("opt-13b");
    protected static readonly GpuSpec A100 = GpuSpec.Load("a100-40");

    /// <summary>Number of the figure, or a word.</summary>
    public abstract string Id { get; }

    /// <summary>What it shows.</summary>
    public abstract string Title { get; }

    /// <summary>What a reader has to know to judge the rows: how they differ from the paper, and why.</summary>
    public abstract string Notes { get; }

    /// <summary>What has to run for the rows.</summary>
    public abstract IEnumerable<Cell> Cells();

    /// <summary>What has to run for the plot alone, once the cells of the rows are known.</summary>
    public virtual IEnumerable<Cell> PlotCells(CellResults results) => [];

    /// <summary>The rows.</summary>
    public abstract IEnumerable<FigureRow> Rows(CellResults results);

    /// <summary>Plots by name of the file, without its ending.</summary>
    public abstract IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results);

    /// <summary>OPT-13B on one A100, or what is given instead.</summary>
    protected static Scenario Setting(ServingPolicy policy, ModelShape? model = null, GpuSpec? gpu = null) =>
        new() { Model = model ?? Opt13, Gpu = gpu ?? A100, Policy = policy, Seed = Seed };

    /// <summary>The highest rate within the bound.</summary>
    protected static Cell Rate(string key, Scenario scenario, Workload workload, double guess, double duration = Hour,
        double bound = LatencyBound) =>
        new(key, cancellation => new CellResult(SustainedRate.Find(scenario, workload, duration, bound, guess, cancellation)));

    /// <summary>One run at a rate.</summary>
    protected static Cell Run(string key, Scenario scenario, Workload workload, double rate, double duration = Hour,
        double stopAbove = double.PositiveInfinity) =>
        new(key, _ =>
        {
            RunResult run = Simulator.Run(scenario, workload.Poisson(rate, duration, scenario.Seed), new RunLimits(duration, stopAbove));
            return new CellResult(run.IsAboveBound && double.IsFinite(stopAbove) ? double.NaN : run.NormalisedLatency, run);
        });

    /// <summary>A row whose bounds are a share of what it should be.</summary>
    protected FigureRow Within(string name, string measure, Published? paper, double ours, double expected, double share, RowKind kind) =>
        new(Id, name, measure, paper, ours, expected * (1 - share), expected * (1 + share), kind);
}
