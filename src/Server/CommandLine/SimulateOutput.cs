using System.Globalization;
using System.Text;
using NativeLM.Simulation;
using NativeLM.Simulation.Figures;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using Spectre.Console;

namespace NativeLM.Server.CommandLine;

/// <summary>Prints what was simulated as a table, CSV or JSON.</summary>
internal static class SimulateOutput
{
    private static readonly (string Name, Func<ComparisonRow, string> Cell)[] Lines =
    [
        ("requests/s", static r => Number(r.Rate)),
        ("normalised latency, s/token", static r => Number(r.Run.NormalisedLatency)),
        ("time to first token, s", static r => Number(r.Run.TimeToFirstToken)),
        ("batched requests", static r => Number(r.Run.BatchedRequests)),
        ("output tokens/s", static r => Number(r.Run.TokensPerSecond)),
        ("time in steps, %", static r => Percent(r.Run.Utilisation)),
        ("KV: token states, %", static r => Percent(r.Run.Memory.Tokens)),
        ("KV: reserved, %", static r => Percent(r.Run.Memory.Reserved)),
        ("KV: internal waste, %", static r => Percent(r.Run.Memory.Internal)),
        ("KV: external or free, %", static r => Percent(r.Run.Memory.External)),
        ("blocks saved by sharing, %", static r => Percent(r.Run.SharingSaved)),
        ("prompt from prefix cache, %", static r => Percent(r.Run.PrefixHitShare)),
        ("preemptions", static r => r.Run.Preemptions.ToString(CultureInfo.InvariantCulture)),
    ];

    public static void Print(Evaluation evaluation, string format)
    {
        if (format != "table")
        {
            Console.Out.Write(format == "csv" ? EvaluationReport.Csv(evaluation)
                : Encoding.UTF8.GetString(EvaluationReport.Json(evaluation, BuildInfo.Version)));
            return;
        }
        foreach (Figure figure in evaluation.Figures)
        {
            Table table = new Table().Border(TableBorder.Simple).AddColumns("case", "measure", "paper", "ours", "ratio", "passes", "kind", "verdict");
            foreach (FigureRow row in evaluation.Rows.Where(r => r.Figure == figure.Id))
                table.AddRow(Escaped(row.Case, row.Measure, EvaluationReport.Text(row.Paper), EvaluationReport.Number(row.Ours),
                    row.Ratio is double ratio ? EvaluationReport.Number(ratio) : "", EvaluationReport.Bounds(row),
                    $"{row.Kind}".ToLowerInvariant(), row.Verdict));
            AnsiConsole.WriteLine($"{(char.IsDigit(figure.Id[0]) ? $"Figure {figure.Id}: " : "")}{figure.Title}");
            AnsiConsole.Write(table);
            AnsiConsole.WriteLine(figure.Notes);
            AnsiConsole.WriteLine();
        }
        foreach (string reason in evaluation.LeftOut)
            AnsiConsole.WriteLine($"left out: {reason}");
        int outside = evaluation.Rows.Count(static r => !r.IsWithin), misses = evaluation.Rows.Count(static r => r.Kind == RowKind.Miss);
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{evaluation.Rows.Count} rows, {outside} out of bounds, {misses} known misses"));
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seed {Figure.Seed}, sustained: at most {Figure.LatencyBound} s/token, version {BuildInfo.Version}"));
    }

    public static void Print(ComparisonReport report, string format)
    {
        if (format != "table")
        {
            Console.Out.Write(format == "csv" ? report.Csv() : Encoding.UTF8.GetString(report.Json(BuildInfo.Version)));
            return;
        }
        Scenario common = report.Scenario;
        ModelShape model = common.Model;
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{model.Name} on {model.Gpus} x {common.Gpu.Name}: {common.Slots} KV slots, block size {common.BlockSize}, seed {common.Seed}"));
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture, $"trace: {report.Trace}; {report.Duration} s"));
        Table table = new Table().Border(TableBorder.Simple).AddColumn("");
        foreach (ComparisonRow row in report.Rows)
            table.AddColumn(Markup.Escape(row.Policy.Word()));
        foreach ((string name, Func<ComparisonRow, string> cell) in Lines)
            table.AddRow([Markup.Escape(name), .. report.Rows.Select(row => Markup.Escape(cell(row)))]);
        AnsiConsole.Write(table);
        foreach (ComparisonRow row in report.Rows.Where(static r => r.Run.Completed < r.Run.Requests))
            AnsiConsole.WriteLine($"{row.Policy.Title()}: {row.Run.Requests - row.Run.Completed} of {row.Run.Requests} requests were not done at the "
                + "end: the rate is above what it sustains");
        foreach (ComparisonRow row in report.Rows.Where(static r => r.Rate == 0))
            AnsiConsole.WriteLine($"{row.Policy.Title()}: even {SustainedRate.RequestsMin} requests in {report.Duration} s miss the latency target");
        if (report.LatencyTarget is double target)
            AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture, $"highest rate with a mean of at most {target} s/token"));
    }

    private static string[] Escaped(params string[] cells) => [.. cells.Select(Markup.Escape)];

    private static string Number(double value) => EvaluationReport.Number(value);

    private static string Percent(double share) => (100 * share).ToString("0.0", CultureInfo.InvariantCulture);
}
