using System.Text.Json;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace NativeLM.Benchmarks.Host;

/// <summary>Benchmarks of managed code. `--json FILE` runs all and writes the means; other arguments are BenchmarkDotNet's (`--filter '*Scheduler*'`).</summary>
internal static class Program
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private static int Main(string[] args)
    {
        IConfig config = DefaultConfig.Instance
            .WithOptions(ConfigOptions.DisableOptimizationsValidator)
            .AddColumn(StatisticColumn.Min)
            .AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
        if (args is not ["--json", string file])
        {
            BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
            return 0;
        }
        Summary[] summaries = BenchmarkRunner.Run(typeof(Program).Assembly, config);
        var figures = summaries.SelectMany(s => s.Reports).Select(r => new
        {
            name = r.BenchmarkCase.Descriptor.DisplayInfo + (r.BenchmarkCase.HasParameters ? " " + r.BenchmarkCase.Parameters.DisplayInfo : ""),
            mean_ns = r.ResultStatistics?.Mean ?? double.NaN,
            allocated_bytes = r.GcStats.GetBytesAllocatedPerOperation(r.BenchmarkCase) ?? -1,
        });
        File.WriteAllText(file, JsonSerializer.Serialize(new { figures }, Indented));
        return summaries.Any(s => s.HasCriticalValidationErrors) ? 1 : 0;
    }
}
