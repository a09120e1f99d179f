using System.Collections.Concurrent;

namespace NativeLM.Simulation.Figures;

/// <summary>All figures, their rows, and plots if they were asked for.</summary>
internal sealed class Evaluation
{
    private Evaluation(IReadOnlyList<Figure> figures, CellResults results, bool hasPlots, IReadOnlyList<string> leftOut)
    {
        Figures = figures;
        LeftOut = leftOut;
        Rows = [.. figures.SelectMany(f => f.Rows(results))];
        Plots = hasPlots ? figures.ToDictionary(static f => f.Id, f => (IReadOnlyList<(string, SvgPlot)>)[.. f.Plots(results)]) : [];
    }

    /// <summary>Figures in the order of the report.</summary>
    public IReadOnlyList<Figure> Figures { get; }

    /// <summary>All rows, figure by figure.</summary>
    public IReadOnlyList<FigureRow> Rows { get; }

    /// <summary>Plots by figure.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<(string Name, SvgPlot Plot)>> Plots { get; }

    /// <summary>What could not be run, and why.</summary>
    public IReadOnlyList<string> LeftOut { get; }

    /// <summary>Runs everything, as many cells at once as there are processors. The result depends on neither their number nor their order.</summary>
    /// <param name="traces">Folder of the recorded traces; null: rows that need them are left out.</param>
    /// <param name="plots">Also run what only plots need.</param>
    /// <param name="progress">Called with the share done.</param>
    /// <param name="cancellation">Stops between two runs.</param>
    public static Evaluation Run(string? traces, bool plots, Action<double> progress, CancellationToken cancellation = default)
    {
        List<string> leftOut = [];
        string? azure = Trace(traces, "AzureLLMInferenceTrace_conv_2023.csv", leftOut);
        string? mooncake = Trace(traces, "mooncake_synthetic_trace.jsonl", leftOut);
        List<Figure> figures =
        [
            new Figure2(), new Figure12(), new Figure13(), new Figure14(), new Figure15(), new Figure16(), new Figure17(), new Figure18(),
                new Figure19(),
            .. azure is null ? Array.Empty<Figure>() : [new AzureTable(azure)],
            new WasteTable(azure), new NativeTable(),
            .. mooncake is null ? Array.Empty<Figure>() : [new MooncakeTable(mooncake)],
        ];
        ConcurrentDictionary<string, CellResult> done = new();
        CellResults results = new(done);
        RunAll(figures.SelectMany(static f => f.Cells()), done, share => progress(plots ? share / 2 : share), cancellation);
        if (plots)
            RunAll(figures.SelectMany(f => f.PlotCells(results)), done, share => progress(0.5 + share / 2), cancellation);
        return new Evaluation(figures, results, plots, leftOut);
    }

    private static void RunAll(IEnumerable<Cell> cells, ConcurrentDictionary<string, CellResult> done, Action<double> progress,
        CancellationToken cancellation)
    {
        Cell[] todo = [.. cells.DistinctBy(static c => c.Key)];
        int finished = 0;
        ParallelOptions options = new() { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellation };
        Parallel.ForEach(Partitioner.Create(todo, EnumerablePartitionerOptions.NoBuffering), options, cell =>
        {
            done[cell.Key] = cell.Run(cancellation);
            progress(Interlocked.Increment(ref finished) / (double)todo.Length);
        });
    }

    private static string? Trace(string? folder, string name, List<string> leftOut)
    {
        if (folder is not null && File.Exists(Path.Combine(folder, name)))
            return Path.Combine(folder, name);
        leftOut.Add(folder is null ? $"{name}: no folder of recorded traces was given" : $"{name}: not in the folder of recorded traces");
        return null;
    }
}
