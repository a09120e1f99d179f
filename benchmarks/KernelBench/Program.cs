using System.Text.Json;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>
/// What the managed side of a kernel costs, on every backend of this machine. `--json FILE` writes one record per figure; `--dry` runs each
/// benchmark once, to see that it works; other arguments are BenchmarkDotNet's (`--filter '*Graph*'`). Runs in process, so that machines
/// without the .NET SDK can run it. Device time is measured by nativelm_kernel_bench.
/// </summary>
internal static class Program
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private static int Main(string[] args)
    {
        List<string> rest = [.. args];
        bool isDry = rest.Remove("--dry");
        string? file = TakeValue(rest, "--json");
        if (rest.Count == 0)
            rest.AddRange(["--filter", "*"]);
        Job job = (isDry ? Job.Dry : Job.ShortRun).WithToolchain(InProcessEmitToolchain.Instance);
        IConfig config = DefaultConfig.Instance.WithOptions(ConfigOptions.DisableOptimizationsValidator | ConfigOptions.JoinSummary).AddJob(job);
        Summary[] summaries = [.. BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run([.. rest], config)];
        BenchmarkReport[] reports = [.. summaries.SelectMany(s => s.Reports)];
        if (file is not null)
            File.WriteAllText(file, JsonSerializer.Serialize(new { rehearsal = isDry, records = reports.Select(r => Record(r, isDry)) }, Indented) + "\n");
        return reports.Length > 0 && reports.All(r => r.Success) ? 0 : 1;
    }

    // A figure of the host has no floor; its partner is the baseline of its class, which the table shows.
    private static object Record(BenchmarkReport report, bool isDry) => new
    {
        name = $"{report.BenchmarkCase.Descriptor.DisplayInfo} {report.BenchmarkCase.Parameters.DisplayInfo}".TrimEnd(),
        kind = "context",
        value = isDry ? null : report.ResultStatistics?.Median,
        unit = "ns",
        allocated_bytes = isDry ? null : report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase),
        partner = (string?)null,
        ratio = (double?)null,
        floor_percent = (double?)null,
        target = (string?)null,
        met = (bool?)null,
    };

    private static string? TakeValue(List<string> args, string option)
    {
        int at = args.IndexOf(option);
        if (at < 0)
            return null;
        if (at + 1 == args.Count)
            throw new ArgumentException($"{option} needs a value");
        string value = args[at + 1];
        args.RemoveRange(at, 2);
        return value;
    }
}
