using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>NativeLM's policy against the paper's on the same GPU.</summary>
internal sealed class NativeTable : Figure
{
    private const double Bound = 0.05; // twenty tokens a second, queueing included
    private const double Duration = 300;

    private static readonly ModelShape Llama = ModelShape.Load("llama-3.1-8b");
    private static readonly GpuSpec H200 = GpuSpec.Load("h200");

    private static readonly (string Name, Workload Workload, double[] Guesses, double AtLeast)[] Points =
    [
        ("sharegpt", FittedWorkload.ShareGpt, [68, 15, 63], 1.3),
        ("alpaca", FittedWorkload.Alpaca, [560, 85, 440], 1),
        ("chat, KV not kept", FittedWorkload.Chat, [28, 11.5, 28], 1),
        ("chat in rounds, KV kept", new ConversationWorkload(2560, 10), [35, 11, 22], 3),
        ("shared prefix of 341", FittedWorkload.Wmt(341), [440, 58, 104], 1),
    ];

    private static readonly (string Word, string Title)[] Engines = [("paper", "paged (paper)"), ("same host", "paged (paper), NativeLM's host"),
        ("nativelm", "NativeLM")];

    public override string Id => "nativelm";

    public override string Title => "NativeLM's policy to the paper's (Llama-3.1-8B on one H200, at most 0.05 s/token)";

    public override string Notes =>
        "Predictions, until they are confirmed on hardware. The first rows give each engine its own work on the host: 3.5 ms a step and 0.13 ms "
        + "a sequence as fitted to the paper's figures, against 0.05 ms, the target for a scheduler that is hidden behind the step before. The "
        + "rows 'same host' take that away: what remains is due to mixed passes, budgets and the prefix cache alone. It is small where nothing is "
        + "shared, because at these rates the GPU is bound by computation either way. The paper's engine keeps no KV between requests. In the "
        + "chat in rounds the next question comes 10 s after an answer, in the mean; with longer pauses fewer conversations stay in the pool, and "
        + "less is found.";

    public override IEnumerable<Cell> Cells()
    {
        foreach ((string name, Workload workload, double[] guesses, _) in Points)
        {
            yield return Rate(Key(name, "nativelm"), Setting(ServingPolicy.NativeLM, Llama, H200), workload, guesses[0], Duration, Bound);
            yield return Rate(Key(name, "paper"), Setting(ServingPolicy.Paper, Llama, H200), workload, guesses[1], Duration, Bound);
            yield return Rate(Key(name, "same host"), Setting(ServingPolicy.Paper, Llama, H200) with { Host = H200.NativeOverhead }, workload,
                guesses[2], Duration, Bound);
        }
    }

    public override IEnumerable<FigureRow> Rows(CellResults results)
    {
        foreach ((string name, _, _, double atLeast) in Points)
            yield return new FigureRow(Id, name, "rate / rate", null, results[Key(name, "nativelm")] / results[Key(name, "paper")], atLeast,
                FigureRow.Unbounded, RowKind.Own);
        foreach ((string name, _, _, _) in Points)
            yield return new FigureRow(Id, $"{name}, same host", "rate / rate", null,
                results[Key(name, "nativelm")] / results[Key(name, "same host")], 0.97, FigureRow.Unbounded, RowKind.Own);
    }

    public override IEnumerable<(string Name, SvgPlot Plot)> Plots(CellResults results)
    {
        yield return ("nativelm", new SvgPlot
        {
            Title = "Sustained rate, Llama-3.1-8B on one H200",
            XLabel = "",
            YLabel = "requests/s",
            IsYLogarithmic = true,
            Groups = [.. Points.Select(static p => p.Name.Split(',')[0])],
            Series = [.. Engines.Select(engine =>
                new PlotSeries(engine.Title, [.. Points.Select((p, g) => ((double)g, results[Key(p.Name, engine.Word)]))]))],
        });
    }

    private static string Key(string name, string engine) => $"nativelm/{name}/{engine}";
}
