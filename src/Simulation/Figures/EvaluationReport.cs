using System.Globalization;
using System.Text;
using System.Text.Json;
using NativeLM.Simulation.Hardware;

namespace NativeLM.Simulation.Figures;

/// <summary>Writes an evaluation as a page with tables and plots, as CSV and as JSON. The same results give the same bytes.</summary>
internal static class EvaluationReport
{
    /// <summary>Writes README.md, results.csv, results.json and the plots into a folder, which is made.</summary>
    /// <param name="evaluation">What was found.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="version">Of the program.</param>
    public static void Write(Evaluation evaluation, string folder, string version)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "README.md"), Markdown(evaluation, version));
        File.WriteAllText(Path.Combine(folder, "results.csv"), Csv(evaluation));
        File.WriteAllBytes(Path.Combine(folder, "results.json"), Json(evaluation, version));
        foreach ((string name, SvgPlot plot) in evaluation.Plots.Values.SelectMany(static p => p))
            File.WriteAllText(Path.Combine(folder, name + ".svg"), plot.Render());
    }

    /// <summary>A table of rows for the terminal.</summary>
    public static string Csv(Evaluation evaluation)
    {
        StringBuilder text = new("figure,case,measure,paper_low,paper_high,ours,ratio,low,high,kind,verdict\n");
        foreach (FigureRow row in evaluation.Rows)
            text.AppendJoin(',',
                [row.Figure, Quoted(row.Case), Quoted(row.Measure), Exact(row.Paper?.Low), Exact(row.Paper?.High), Exact(row.Ours),
                    Exact(row.Ratio), Exact(row.Low),
                Exact(row.High), Word(row.Kind), row.Verdict]).Append('\n');
        return text.ToString();
    }

    /// <summary>Everything, for programs.</summary>
    public static byte[] Json(Evaluation evaluation, string version)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteString("version", version);
            json.WriteNumber("seed", Figure.Seed);
            json.WriteNumber("latency_bound_seconds_per_token", Figure.LatencyBound);
            json.WriteStartArray("constants");
            foreach ((string table, Constant constant) in Constants())
            {
                json.WriteStartObject();
                json.WriteString("table", table);
                json.WriteString("name", constant.Name);
                json.WriteNumber("value", constant.Value);
                json.WriteString("origin", constant.Origin);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartArray("left_out");
            foreach (string reason in evaluation.LeftOut)
                json.WriteStringValue(reason);
            json.WriteEndArray();
            json.WriteStartArray("rows");
            foreach (FigureRow row in evaluation.Rows)
                WriteRow(json, row);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return [.. bytes.ToArray(), (byte)'\n'];
    }

    /// <summary>A published value, as it is printed.</summary>
    public static string Text(Published? paper) => paper is Published p ? Range(p.Low, p.High) : "";

    /// <summary>The bounds of a row, as they are printed.</summary>
    public static string Bounds(FigureRow row) => Range(row.Low, row.High);

    /// <summary>A number with three digits that count.</summary>
    public static string Number(double value) => !double.IsFinite(value) ? "-"
        : Math.Abs(value) >= 100 ? value.ToString("0", CultureInfo.InvariantCulture)
        : Math.Abs(value) >= 10 ? value.ToString("0.0", CultureInfo.InvariantCulture)
        : Math.Abs(value) >= 1 ? value.ToString("0.00", CultureInfo.InvariantCulture) : value.ToString("0.000", CultureInfo.InvariantCulture);

    private static string Markdown(Evaluation evaluation, string version)
    {
        StringBuilder page = new();
        int misses = evaluation.Rows.Count(static r => r.Kind == RowKind.Miss), outside = evaluation.Rows.Count(static r => !r.IsWithin);
        int within = evaluation.Rows.Count - misses - outside;
        page.Append("# The paper's evaluation, simulated\n\n");
        page.Append("Written by `nativelm simulate --paper --out docs/paper`; do not edit. \"Efficient Memory Management for Large Language Model "
            + "Serving with PagedAttention\" (SOSP 2023) ");
        page.Append("measured its engine on A100 GPUs. Here the real scheduler and block manager run on a virtual clock: a step takes the time "
            + "that a cost model gives it, and nothing is computed.\n\n");
        page.Append(CultureInfo.InvariantCulture,
            $"{evaluation.Rows.Count} rows: {within} within their bounds, {misses} known misses, {outside} out of bounds. ");
        page.Append(CultureInfo.InvariantCulture,
            $"Version {version}, seed {Figure.Seed}, sustained means a mean normalised latency of at most {Figure.LatencyBound} s/token. ");
        page.Append("The same rows are a test (`tests/Paper.Tests`): a change of scheduler or block manager that moves a figure fails the "
            + "build.\n\n");
        page.Append("What is a check and what is a prediction: output lengths' second moments and the host's part of a step were fitted to Figures "
            + "2 and 13; all other figures are predictions. ");
        page.Append("A miss is reported as it is, no constant is tuned until it fits, and it is bounded too. `bounds` is what passes.\n");
        foreach (string reason in evaluation.LeftOut)
            page.Append($"\nLeft out: {reason}.\n");
        foreach (Figure figure in evaluation.Figures)
            Section(page, evaluation, figure);
        page.Append("\n## Constants\n\n| table | constant | value | origin |\n|---|---|---|---|\n");
        foreach ((string table, Constant constant) in Constants())
            page.Append(CultureInfo.InvariantCulture, $"| {table} | {constant.Name} | {constant.Value:G6} | {constant.Origin} |\n");
        return page.ToString();
    }

    private static void Section(StringBuilder page, Evaluation evaluation, Figure figure)
    {
        page.Append($"\n## {(char.IsDigit(figure.Id[0]) ? $"Figure {figure.Id}: " : "")}{figure.Title}\n\n{figure.Notes}\n\n");
        page.Append("| case | measure | paper | ours | ratio | bounds | kind | verdict |\n|---|---|---|---|---|---|---|---|\n");
        foreach (FigureRow row in evaluation.Rows.Where(r => r.Figure == figure.Id))
            page.Append("| ").AppendJoin(" | ", [row.Case, row.Measure, Text(row.Paper), Number(row.Ours),
                row.Ratio is double ratio ? Number(ratio) : "", Bounds(row), Word(row.Kind), row.Verdict]).Append(" |\n");
        if (evaluation.Plots.TryGetValue(figure.Id, out IReadOnlyList<(string Name, SvgPlot Plot)>? plots))
            foreach ((string name, SvgPlot plot) in plots)
                page.Append($"\n![{plot.Title}]({name}.svg)\n");
    }

    private static void WriteRow(Utf8JsonWriter json, FigureRow row)
    {
        json.WriteStartObject();
        json.WriteString("figure", row.Figure);
        json.WriteString("case", row.Case);
        json.WriteString("measure", row.Measure);
        if (row.Paper is Published paper)
        {
            json.WriteNumber("paper_low", paper.Low);
            json.WriteNumber("paper_high", paper.High);
            if (row.Ratio is double ratio && double.IsFinite(ratio))
                json.WriteNumber("ratio", Math.Round(ratio, 6));
        }
        if (double.IsFinite(row.Ours))
            json.WriteNumber("ours", Math.Round(row.Ours, 6));
        json.WriteNumber("low", Math.Round(row.Low, 6));
        json.WriteNumber("high", Math.Round(row.High, 6));
        json.WriteString("kind", Word(row.Kind));
        json.WriteString("verdict", row.Verdict);
        json.WriteEndObject();
    }

    private static string Range(double low, double high) => low == high ? Number(low)
        : high >= FigureRow.Unbounded ? $"at least {Number(low)}" : low == 0 ? $"up to {Number(high)}" : $"{Number(low)} to {Number(high)}";

    private static IEnumerable<(string Table, Constant Constant)> Constants()
    {
        foreach (string name in ConstantTable.Names("hardware"))
            foreach (Constant constant in GpuSpec.Load(name).Table.All)
                yield return (name, constant);
        foreach (string name in ConstantTable.Names("model"))
            foreach (Constant constant in ModelShape.Load(name).Table.All)
                yield return (name, constant);
    }

    private static string Word(RowKind kind) => kind switch
    {
        RowKind.Check => "check",
        RowKind.Prediction => "prediction",
        RowKind.Miss => "miss",
        _ => "own",
    };

    private static string Exact(double? value) => value is double v && double.IsFinite(v) ? v.ToString("0.######", CultureInfo.InvariantCulture) : "";

    private static string Quoted(string text) => text.Contains(',', StringComparison.Ordinal) ? $"\"{text}\"" : text;
}
