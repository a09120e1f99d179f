using System.Globalization;
using System.Text.Json;
using NativeLM.Server.Bench;
using Spectre.Console;

namespace NativeLM.Server.CommandLine;

/// <summary>Prints reports as tables and writes them as JSON.</summary>
internal static class BenchOutput
{
    public static void Print(IReadOnlyList<LoadReport> reports)
    {
        for (int i = 0; i < reports.Count; i++)
            Print(reports[i], reports.Count == 1 ? "" : $" (run {i + 1} of {reports.Count})");
        PrintComparison(reports);
    }

    public static void WriteJson(string? path, BenchReport report)
    {
        if (path is null)
            return;
        File.WriteAllText(path, JsonSerializer.Serialize(report, BenchJson.Default.BenchReport) + "\n");
        AnsiConsole.WriteLine($"written: {path}");
    }

    private static void Print(LoadReport report, string run)
    {
        AnsiConsole.WriteLine();
        AnsiConsole.WriteLine($"{report.Target}{run}");
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {report.Completed} completed, {report.Failed} failed in {report.DurationSeconds:0.00} s; "
            + $"{report.InputTokens} tokens in, {report.OutputTokens} out"));
        foreach ((string error, int count) in report.Errors)
            AnsiConsole.WriteLine($"  {count} x {error}");
        AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {report.RequestsPerSecond:0.00} requests/s, {report.OutputTokensPerSecond:0.0} output tokens/s, "
            + $"{report.TotalTokensPerSecond:0.0} tokens/s"));
        if (report.GoodRequestsPerSecond is double good)
            AnsiConsole.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  goodput {good:0.00} requests/s"));
        Table table = new Table().Border(TableBorder.Simple).AddColumns("ms", "mean", "p50", "p90", "p99", "max");
        foreach ((string name, Summary? summary) in ((string, Summary?)[])[("TTFT", report.TtftMs), ("TPOT", report.TpotMs),
            ("ITL", report.ItlMs), ("E2E", report.E2eMs)])
            if (summary is not null)
                table.AddRow(name, Number(summary.Mean), Number(summary.P50), Number(summary.P90), Number(summary.P99), Number(summary.Max));
        AnsiConsole.Write(table);
        AnsiConsole.WriteLine($"  longest gap {Number(report.LongestGapMs)} ms");
    }

    /// <summary>Medians over the rounds, and the ratio of the second server to the first.</summary>
    private static void PrintComparison(IReadOnlyList<LoadReport> reports)
    {
        string[] targets = [.. reports.Select(static r => r.Target).Distinct(StringComparer.Ordinal)];
        if (targets.Length < 2)
            return;
        Table table = new Table().Border(TableBorder.Simple).AddColumns("median of rounds", targets[0], targets[1], "first / second");
        Row("output tokens/s", static r => r.OutputTokensPerSecond);
        Row("TTFT p50 ms", static r => r.TtftMs?.P50 ?? double.NaN);
        Row("TPOT p50 ms", static r => r.TpotMs?.P50 ?? double.NaN);
        Row("E2E p50 ms", static r => r.E2eMs?.P50 ?? double.NaN);
        Row("longest gap ms", static r => r.LongestGapMs);
        AnsiConsole.Write(table);

        void Row(string name, Func<LoadReport, double> figure)
        {
            double first = Median(targets[0]);
            double second = Median(targets[1]);
            table.AddRow(name, Number(first), Number(second), Number(first / second));

            double Median(string target)
            {
                double[] sorted = [.. reports.Where(r => r.Target == target).Select(figure).Order()];
                return sorted[sorted.Length / 2];
            }
        }
    }

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);
}
