using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NativeLM.Benchmarks.Report;

/// <summary>One table (and plot) per part.</summary>
internal static class Sections
{
    public static void Machine(StringBuilder page, Figures figures)
    {
        if (figures.Part("machine") is not JsonElement m)
            return;
        page.AppendLine(CultureInfo.InvariantCulture,
            $"Machine: {m.GetProperty("cpu").GetString()}, {m.GetProperty("threads")} threads; commit {m.GetProperty("commit").GetString()}, {m.GetProperty("date").GetString()}, load before {m.GetProperty("load").GetString()}.\n");
    }

    public static void Kernels(StringBuilder page, Figures figures, string folder)
    {
        if (figures.Part("kernels") is not JsonElement kernels)
            return;
        Dictionary<string, double> medians = kernels.GetProperty("series").EnumerateArray()
            .ToDictionary(s => s.GetProperty("name").GetString()!, s => s.GetProperty("median").GetDouble());
        double read = medians["best read loop GB/s"], matrix = medians["matrix loop GFLOP/s"];
        page.AppendLine("## Linear layers\n");
        page.AppendLine(CultureInfo.InvariantCulture,
            $"`scripts/bench.sh kernels`: all linear layers of a step of TinyLlama-1.1B shape, {kernels.GetProperty("type").GetString()}, {kernels.GetProperty("isa").GetString()}, " +
            $"{kernels.GetProperty("threads")} threads, weights rotated beyond the last cache. Partners of the same run: a plain read loop ({Figures.Number(read)} GB/s) and a register-only loop of the " +
            $"same instruction ({Figures.Number(matrix, 0)} GFLOP/s). Goals: 85 % of the read loop at 1 row, 60 % of the matrix loop at 512.\n");
        page.AppendLine("| rows | weights GB/s | of the read loop | GFLOP/s | of the matrix loop |\n|---|---|---|---|---|");
        int[] rows = [.. RowCounts.Where(r => medians.ContainsKey($"model M={r} GB/s"))];
        double[] shares = new double[rows.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            double bytes = medians[$"model M={rows[i]} GB/s"], flops = medians[$"model M={rows[i]} GFLOP/s"];
            shares[i] = 100 * Math.Max(bytes / read, flops / matrix);
            page.AppendLine(CultureInfo.InvariantCulture,
                $"| {rows[i]} | {Figures.Number(bytes)} | {Figures.Number(100 * bytes / read, 0)} % | {Figures.Number(flops, 0)} | {Figures.Number(100 * flops / matrix, 0)} % |");
        }
        page.AppendLine("\n![share of the nearer limit](kernels.svg)\n");
        Plots.Bars(Path.Combine(folder, "kernels.svg"), "Linear layers: share of the nearer limit (bandwidth or matrix rate)", "percent",
            [.. rows.Select(r => $"{r} rows")], [("share", shares)]);
    }

    public static void Llama(StringBuilder page, Figures figures, string folder)
    {
        if (figures.Part("llama") is not JsonElement llama)
            return;
        JsonElement[] rows = [.. llama.GetProperty("figures").EnumerateArray()];
        page.AppendLine("## In process beside llama.cpp\n");
        page.AppendLine(CultureInfo.InvariantCulture,
            $"`scripts/bench.sh llama`: TinyLlama-1.1B shape, the same random bf16 weights, {llama.GetProperty("threads")} threads each, interleaved rounds, medians. " +
            $"Ours: {llama.GetProperty("device").GetString()}, through the public API with sampling; theirs: {llama.GetProperty("partner").GetString()}, batched decode without sampling.\n");
        page.AppendLine("| | ours tok/s | llama.cpp tok/s | ratio | min..max | goal |\n|---|---|---|---|---|---|");
        foreach (JsonElement row in rows)
        {
            string name = row.GetProperty("name").GetString()!;
            page.AppendLine(CultureInfo.InvariantCulture,
                $"| {name} | {N(row, "ours_per_second")} | {N(row, "theirs_per_second")} | **{N(row, "ratio", 2)}** | {N(row, "ratio_min", 2)}..{N(row, "ratio_max", 2)} | {Goal(name)} |");
        }
        page.AppendLine("\n![ours and llama.cpp](llama.svg)\n");
        Plots.Bars(Path.Combine(folder, "llama.svg"), "Beside llama.cpp, bf16, same weights and threads", "tokens per second",
            [.. rows.Select(r => r.GetProperty("name").GetString()!)],
            [("NativeLM", [.. rows.Select(r => r.GetProperty("ours_per_second").GetDouble())]),
             ("llama.cpp", [.. rows.Select(r => r.GetProperty("theirs_per_second").GetDouble())])]);
    }

    public static void Serving(StringBuilder page, Figures figures, string folder)
    {
        int[] levels = [.. Levels.Where(c => figures.Part($"serving-{c}") is not null)];
        if (levels.Length == 0)
            return;
        JsonElement[] runs = [.. levels.Select(c => figures.Part($"serving-{c}")!.Value.GetProperty("runs")[0])];
        page.AppendLine("## Through HTTP\n\n`scripts/bench.sh serving`: TinyLlama-1.1B shape, 128 tokens in, 64 out, closed loop, times in milliseconds. " +
            "The bound is what llama.cpp's engine would give without any server: its prefill rate for the prompts, then its decode rate (figures above).\n");
        page.AppendLine("| streams | out tok/s | llama.cpp bound | ratio | TTFT p50 | p99 | TPOT p50 | longest gap | failed |\n|---|---|---|---|---|---|---|---|---|");
        double[] bounds = new double[levels.Length];
        for (int i = 0; i < levels.Length; i++)
        {
            JsonElement run = runs[i];
            double ours = run.GetProperty("output_tokens_per_second").GetDouble();
            bounds[i] = Bound(figures, levels[i]);
            string ratio = bounds[i] > 0 ? Figures.Number(ours / bounds[i], 2) : "";
            page.AppendLine(CultureInfo.InvariantCulture,
                $"| {levels[i]} | {Figures.Number(ours)} | {(bounds[i] > 0 ? Figures.Number(bounds[i]) : "")} | {ratio} | {P(run, "ttft_ms", "p50")} | {P(run, "ttft_ms", "p99")} | {P(run, "tpot_ms", "p50")} | {N(run, "longest_gap_ms", 0)} | {run.GetProperty("failed")} |");
        }
        page.AppendLine("\n![serving](serving.svg)\n");
        Plots.Bars(Path.Combine(folder, "serving.svg"), "Output tokens per second through HTTP (128 in, 64 out)", "tokens per second",
            [.. levels.Select(c => $"{c} streams")],
            [("NativeLM, HTTP", [.. runs.Select(r => r.GetProperty("output_tokens_per_second").GetDouble())]), ("llama.cpp, bound without server", bounds)]);
    }

    public static void Waste(StringBuilder page, Figures figures)
    {
        if (figures.Part("overhead") is JsonElement overhead)
            page.AppendLine(CultureInfo.InvariantCulture,
                $"Engine thread outside the device (scheduling, commit, publishing), share of its busy time over those runs: {N(overhead, "host_share_percent", 2)} %.\n");
        if (figures.Part("kv") is JsonElement kv)
            page.AppendLine(CultureInfo.InvariantCulture,
                $"KV slots that had an owner but held no token, summed over steps, ShareGPT-like lengths, block size {kv.GetProperty("block_size")}: **{N(kv, "slots_wasted_percent", 2)} %** (goal: under 4 %).\n");
    }

    public static void Start(StringBuilder page, Figures figures)
    {
        if (figures.Part("start") is not JsonElement start)
            return;
        JsonElement ms = start.GetProperty("start_to_first_token_ms");
        page.AppendLine("## Start\n\n`scripts/bench.sh start`: process start to the first answer over HTTP, demo model, seven starts.\n");
        page.AppendLine(CultureInfo.InvariantCulture, $"Median {ms.GetProperty("median")} ms, min {ms.GetProperty("min")}, max {ms.GetProperty("max")} (goal: under 1,000).\n");
        if (figures.Part("memory") is JsonElement memory)
            page.AppendLine(CultureInfo.InvariantCulture,
                $"Peak resident memory of the serving run (2.2 GB of weights, KV pool touched on use): {memory.GetProperty("peak_rss_kib").GetInt64() / 1024} MiB.\n");
    }

    public static void Host(StringBuilder page, Figures figures)
    {
        if (figures.Part("host") is not JsonElement host)
            return;
        page.AppendLine("## Host code\n\n`scripts/bench.sh host` (BenchmarkDotNet).\n\n| benchmark | mean ns | allocated bytes |\n|---|---|---|");
        foreach (JsonElement row in host.GetProperty("figures").EnumerateArray())
            page.AppendLine(CultureInfo.InvariantCulture, $"| {row.GetProperty("name").GetString()} | {N(row, "mean_ns")} | {row.GetProperty("allocated_bytes")} |");
        page.AppendLine();
    }

    // Of the CPU backend: on the emulator the work hides the call, and a GPU has a report of its own.
    public static void Calls(StringBuilder page, Figures figures)
    {
        if (figures.Part("calls") is not JsonElement calls)
            return;
        page.AppendLine("## Calls into the native library\n\n`scripts/bench.sh host` (BenchmarkDotNet, one thread).\n\n| benchmark | median ns | allocated bytes |\n|---|---|---|");
        foreach (JsonElement row in calls.GetProperty("records").EnumerateArray().Where(r => r.GetProperty("name").GetString()!.Contains("Backend=Cpu", StringComparison.Ordinal)))
            page.AppendLine(CultureInfo.InvariantCulture, $"| {row.GetProperty("name").GetString()} | {N(row, "value")} | {row.GetProperty("allocated_bytes")} |");
        page.AppendLine();
    }

    private static readonly int[] Levels = [1, 4, 16, 64];
    private static readonly int[] RowCounts = [1, 4, 16, 32, 64, 256, 512];

    private static double Bound(Figures figures, int streams)
    {
        if (figures.Part("llama") is not JsonElement llama)
            return 0;
        double prefill = 0, decode = 0;
        foreach (JsonElement row in llama.GetProperty("figures").EnumerateArray())
        {
            string name = row.GetProperty("name").GetString()!;
            if (name.StartsWith("prefill", StringComparison.Ordinal))
                prefill = row.GetProperty("theirs_per_second").GetDouble();
            else if (name == $"decode batch {streams}")
                decode = row.GetProperty("theirs_per_second").GetDouble();
        }
        return prefill > 0 && decode > 0 ? 64 / (128 / prefill + 64 / decode) : 0;
    }

    private static string Goal(string name) => name switch
    {
        "decode batch 1" => "1.0",
        "decode batch 16" => "3",
        "decode batch 64" => "6",
        "prefill 512" => "6",
        _ => "",
    };

    private static string N(JsonElement row, string property, int digits = 1) => Figures.Number(row.GetProperty(property).GetDouble(), digits);

    private static string P(JsonElement run, string summary, string percentile) =>
        run.GetProperty(summary) is { ValueKind: JsonValueKind.Object } s ? Figures.Number(s.GetProperty(percentile).GetDouble(), 0) : "";
}
