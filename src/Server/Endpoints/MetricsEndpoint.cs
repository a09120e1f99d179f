using System.Globalization;
using System.Text;
using NativeLM.Engine.Diagnostics;
using NativeLM.Server.Http;

namespace NativeLM.Server.Endpoints;

/// <summary>GET /metrics: the engine's series and the server's own in Prometheus' text format. No label holds client text.</summary>
internal static class MetricsEndpoint
{
    public static void Map(Router router, EngineHost engine, RequestCounter counter) => router.Get("/metrics", async context =>
    {
        byte[] text = Encoding.UTF8.GetBytes(Render(engine.Loaded, counter));
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        context.Response.ContentLength = text.Length;
        await context.Response.Body.WriteAsync(text, context.RequestAborted);
    });

    private static string Render(LoadedEngine? loaded, RequestCounter counter)
    {
        StringBuilder text = new();
        Head(text, "nativelm:build_info", "gauge", "Which build this is.");
        text.Append(CultureInfo.InvariantCulture, $"nativelm:build_info{{version=\"{Escape(BuildInfo.Version)}\"}} 1\n");
        Head(text, "nativelm:http_requests_inside", "gauge", "Requests between their headers and the end of their answer, this one included.");
        text.Append(CultureInfo.InvariantCulture, $"nativelm:http_requests_inside {counter.Inside}\n");
        Head(text, "nativelm:http_errors_total", "counter", "Answers other than success, by error code.");
        foreach ((string code, long count) in counter.RejectedByCode)
            text.Append(CultureInfo.InvariantCulture, $"nativelm:http_errors_total{{code=\"{code}\"}} {count}\n");
        if (loaded is not null)
            Engine(text, loaded);
        return text.ToString();
    }

    private static void Engine(StringBuilder text, LoadedEngine loaded)
    {
        string common = $"model_name=\"{Escape(loaded.Model.Names[0])}\",engine=\"0\"";
        string last = "";
        foreach (Metric metric in loaded.Engine.Metrics.All)
        {
            if (metric.Name != last)
                Head(text, metric.Name, metric is Counter ? "counter" : metric is Histogram ? "histogram" : "gauge", metric.Help);
            last = metric.Name;
            string labels = metric.LabelName is null ? common : $"{common},{metric.LabelName}=\"{metric.LabelValue}\"";
            switch (metric)
            {
                case Counter counter:
                    text.Append(CultureInfo.InvariantCulture, $"{metric.Name}{{{labels}}} {counter.Value}\n");
                    break;
                case Gauge gauge:
                    text.Append(CultureInfo.InvariantCulture, $"{metric.Name}{{{labels}}} {gauge.Value}\n");
                    break;
                case Histogram histogram:
                    Append(text, histogram, labels);
                    break;
            }
        }
    }

    private static void Append(StringBuilder text, Histogram histogram, string labels)
    {
        long[] counts = new long[histogram.Bounds.Length + 1];
        histogram.CopyCounts(counts);
        long cumulative = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            cumulative += counts[i];
            string bound = i < histogram.Bounds.Length ? histogram.Bounds[i].ToString(CultureInfo.InvariantCulture) : "+Inf";
            text.Append(CultureInfo.InvariantCulture, $"{histogram.Name}_bucket{{{labels},le=\"{bound}\"}} {cumulative}\n");
        }
        text.Append(CultureInfo.InvariantCulture, $"{histogram.Name}_sum{{{labels}}} {histogram.Sum}\n");
        text.Append(CultureInfo.InvariantCulture, $"{histogram.Name}_count{{{labels}}} {cumulative}\n");
    }

    private static void Head(StringBuilder text, string name, string type, string help) =>
        text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private static string Escape(string label) => label.Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("\"", "\\\"", StringComparison.Ordinal);
}
