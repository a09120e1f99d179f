using System.Globalization;
using System.Text;
using System.Text.Json;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Figures;

/// <summary>What one policy did with the requests.</summary>
/// <param name="Policy">The policy.</param>
/// <param name="Rate">Requests/s: given, recorded, or the highest found within the latency target.</param>
/// <param name="Run">The run at that rate.</param>
internal sealed record ComparisonRow(ServingPolicy Policy, double Rate, RunResult Run);

/// <summary>Policies side by side on one model, GPU and trace, as CSV, JSON and plots.</summary>
/// <param name="Scenario">What they have in common; its policy says nothing.</param>
/// <param name="Trace">Where the requests came from, in words.</param>
/// <param name="Duration">Length of the trace, s.</param>
/// <param name="LatencyTarget">The target of a search for the rate, s/token; null if rates were given.</param>
/// <param name="Rows">One per policy.</param>
internal sealed record ComparisonReport(Scenario Scenario, string Trace, double Duration, double? LatencyTarget, IReadOnlyList<ComparisonRow> Rows)
{
    /// <summary>Normalised latency against rate, a series per policy; empty if it was not run.</summary>
    public IReadOnlyList<PlotSeries> Curves { get; init; } = [];

    private static readonly (string Name, Func<RunResult, double> Value)[] Measures =
    [
        ("normalised_latency_seconds_per_token", static r => r.NormalisedLatency),
        ("time_to_first_token_seconds", static r => r.TimeToFirstToken),
        ("batched_requests", static r => r.BatchedRequests),
        ("output_tokens_per_second", static r => r.TokensPerSecond),
        ("utilisation", static r => r.Utilisation),
        ("kv_token_states_share", static r => r.Memory.Tokens),
        ("kv_reserved_share", static r => r.Memory.Reserved),
        ("kv_internal_share", static r => r.Memory.Internal),
        ("kv_external_share", static r => r.Memory.External),
        ("sharing_saved_share", static r => r.SharingSaved),
        ("prefix_hit_share", static r => r.PrefixHitShare),
        ("preemptions", static r => r.Preemptions),
        ("requests", static r => r.Requests),
        ("completed", static r => r.Completed),
        ("steps", static r => r.Steps),
    ];

    private static readonly double[] CurveShares = [0.2, 0.4, 0.6, 0.8, 0.9, 1, 1.05, 1.1];

    /// <summary>A header and a line per policy.</summary>
    public string Csv()
    {
        StringBuilder text = new("policy,requests_per_second");
        foreach ((string name, _) in Measures)
            text.Append(',').Append(name);
        text.Append('\n');
        foreach (ComparisonRow row in Rows)
        {
            text.Append(row.Policy.Word()).Append(',').Append(Exact(row.Rate));
            foreach ((_, Func<RunResult, double> value) in Measures)
                text.Append(',').Append(Exact(value(row.Run)));
            text.Append('\n');
        }
        return text.ToString();
    }

    /// <summary>Everything that is needed to run it again, and what came out.</summary>
    public byte[] Json(string version)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteString("version", version);
            json.WriteNumber("seed", Scenario.Seed);
            json.WriteString("model", Scenario.Model.Name);
            json.WriteString("hardware", Scenario.Gpu.Name);
            json.WriteString("trace", Trace);
            json.WriteNumber("duration_seconds", Duration);
            if (LatencyTarget is double target)
                json.WriteNumber("latency_target_seconds_per_token", target);
            json.WriteNumber("kv_slots", Scenario.Slots);
            json.WriteNumber("block_size", Scenario.BlockSize);
            json.WriteNumber("sequences_per_request", Scenario.Width);
            json.WriteBoolean("beams", Scenario.IsBeam);
            json.WriteStartObject("constants");
            foreach (Constant constant in Scenario.Model.Table.All.Concat(Scenario.Gpu.Table.All))
                json.WriteNumber(constant.Name, constant.Value);
            json.WriteEndObject();
            json.WriteStartArray("policies");
            foreach (ComparisonRow row in Rows)
            {
                json.WriteStartObject();
                json.WriteString("policy", row.Policy.Word());
                json.WriteNumber("requests_per_second", Math.Round(row.Rate, 6));
                foreach ((string name, Func<RunResult, double> value) in Measures)
                    json.WriteNumber(name, Math.Round(value(row.Run), 6));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return [.. bytes.ToArray(), (byte)'\n'];
    }

    /// <summary>Points of a curve: normalised latency of a policy at shares of a rate; NaN where it is far above the target.</summary>
    public static PlotSeries Curve(Scenario scenario, Workload workload, double duration, double rate, double stopAbove) =>
        new(scenario.Policy.Title(),
            [.. CurveShares.Select(share => share * rate).Select(r => (r, LatencyAt(scenario, workload, duration, r, stopAbove)))]);

    /// <summary>Rates, latencies, batch sizes and the use of KV memory as bars, and the curves.</summary>
    public IEnumerable<(string Name, SvgPlot Plot)> Plots()
    {
        string where = $"{Scenario.Model.Name}, {Scenario.Gpu.Name}";
        yield return ("rate", Bars($"Requests per second, {where}", "requests/s", static r => r.Rate));
        yield return ("latency", Bars($"Mean normalised latency, {where}", "s/token", static r => r.Run.NormalisedLatency));
        yield return ("batched", Bars($"Batched requests, {where}", "requests", static r => r.Run.BatchedRequests));
        if (Curves.Count > 0)
            yield return ("latency-by-rate", new SvgPlot
            {
                Title = $"Normalised latency by rate, {where}",
                XLabel = "requests/s",
                YLabel = "s/token",
                YMax = 2 * (LatencyTarget ?? Rows.Max(static r => r.Run.NormalisedLatency)),
                Series = Curves,
            });
        yield return ("memory", new SvgPlot
        {
            Title = $"KV memory, {where}",
            XLabel = "",
            YLabel = "% of the pool",
            YMax = 100,
            IsStacked = true,
            Groups = [.. Rows.Select(static r => r.Policy.Title())],
            Series =
            [
                Part("token states", static m => m.Tokens), Part("reserved", static m => m.Reserved),
                Part("internal", static m => m.Internal), Part("external", static m => m.External),
            ],
        });
    }

    /// <summary>Writes results.csv, results.json and the plots into a folder, which is made.</summary>
    public void Write(string folder, string version)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "results.csv"), Csv());
        File.WriteAllBytes(Path.Combine(folder, "results.json"), Json(version));
        foreach ((string name, SvgPlot plot) in Plots())
            File.WriteAllText(Path.Combine(folder, name + ".svg"), plot.Render());
    }

    private static double LatencyAt(Scenario scenario, Workload workload, double duration, double rate, double stopAbove)
    {
        RunResult run = Simulator.Run(scenario, workload.Poisson(rate, duration, scenario.Seed), new RunLimits(duration, stopAbove));
        return run.IsAboveBound ? double.NaN : run.NormalisedLatency;
    }

    private SvgPlot Bars(string title, string unit, Func<ComparisonRow, double> value) => new()
    {
        Title = title,
        XLabel = "",
        YLabel = unit,
        Groups = [.. Rows.Select(static r => r.Policy.Title())],
        Series = [new PlotSeries(unit, [.. Rows.Select((r, g) => ((double)g, value(r)))])],
    };

    private PlotSeries Part(string name, Func<MemorySplit, double> part) =>
        new(name, [.. Rows.Select((r, g) => ((double)g, 100 * part(r.Run.Memory)))]);

    private static string Exact(double value) => value.ToString("0.######", CultureInfo.InvariantCulture);
}
