using System.CommandLine;
using System.Globalization;
using NativeLM.Simulation;
using NativeLM.Simulation.Figures;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm simulate: the scheduler and block manager on a virtual clock, for any model, GPU and trace; and the paper's whole
/// evaluation.</summary>
internal sealed class SimulateCommand
{
    private readonly Option<bool> _paper = Flag.Of<bool>("--paper", "Run the evaluation of the PagedAttention paper and compare every row with "
        + "what it published.");
    private readonly Option<string?> _traces = new("--traces")
    {
        Description = "With --paper: folder of the recorded traces; rows that need one are left out without it.",
        HelpName = "DIR",
    };
    private readonly Option<string> _trace = new("--trace")
    {
        Description = "Where requests come from: sharegpt, alpaca, chat, rounds, wmt (fitted lengths), or a CSV or JSONL file of lengths, with or "
            + "without arrivals.",
        HelpName = "NAME|FILE",
        DefaultValueFactory = static _ => "sharegpt",
    };

    private readonly Option<string> _model = new("--model")
    {
        Description = $"Model: {Known("model")}, or a JSON file of its constants.",
        HelpName = "NAME|FILE",
        DefaultValueFactory = static _ => "opt-13b",
    };
    private readonly Option<string?> _hardware = new("--hardware")
    {
        Description = $"GPU: {Known("hardware")}, or a JSON file. Default: the one the model was published on, or h200.",
        HelpName = "NAME|FILE",
    };
    private readonly Option<string> _policy = new("--policy")
    {
        Description = $"Policies to compare, separated by commas: {string.Join(", ", ServingPolicies.Words)}.",
        HelpName = "NAME[,NAME...]",
        DefaultValueFactory = static _ => "nativelm,paper",
    };

    private readonly Option<double?> _rate = Flag.Of<double?>("--rate", "Poisson arrivals, this many requests per second.");
    private readonly Option<bool> _findRate = Flag.Of<bool>("--find-rate", "Find the highest rate within the latency target.");
    private readonly Option<double> _slo = Flag.With("--slo", "The latency target: mean over requests of latency / output tokens, in s/token, "
        + "queueing included.", Figure.LatencyBound);
    private readonly Option<double> _rateScale = Flag.With("--rate-scale", "Without --rate and --find-rate: a recorded trace's own arrivals, at "
        + "this many times their rate.", 1.0);
    private readonly Option<double> _duration = Flag.Seconds("--duration", "Length of the trace.", 3600);
    private readonly Option<int> _blockSize = Flag.With("--block-size", "Token slots of a block.", 16);
    private readonly Option<int> _n = Flag.With("--n", "Parallel samples of each request.", 1);
    private readonly Option<int?> _beam = Flag.Of<int?>("--beam", "Beam width; excludes --n.");
    private readonly Option<int> _sharedPrefix = Flag.With("--shared-prefix", "With --trace wmt: tokens that all prompts begin with.", 341);
    private readonly Option<string?> _prefixCache = new("--prefix-cache")
    {
        Description = "Reuse of blocks across requests. Default: on for nativelm, off for paper.",
        HelpName = "on|off",
    };
    private readonly Option<int?> _gpuBlocks = Flag.Of<int?>("--gpu-blocks", "KV blocks of the pool. Default: what the model leaves on the GPU.");
    private readonly Option<double> _swapSpace = Flag.With("--swap-space", "Host memory for swapped blocks, in GiB.", 4.0);
    private readonly Option<long> _seed = Flag.With("--seed", "Seed of lengths, arrivals and beams.", 1L);
    private readonly Option<string?> _out = new("--out")
    {
        Description = "Also write results.csv, results.json and plots (SVG) here; with --paper also README.md.",
        HelpName = "DIR",
    };
    private readonly Option<string> _format = new("--format")
    {
        Description = "Of standard output.",
        HelpName = "table|csv|json",
        DefaultValueFactory = static _ => "table",
    };

    public static Command Build()
    {
        SimulateCommand flags = new();
        Command command = new("simulate",
            "Play a trace against the real scheduler and block manager on a virtual clock: how many requests per second a model holds on a GPU, and "
            + "what each policy would do. No GPU and no weights are needed; an hour takes about a second.");
        foreach (Option option in (Option[])[flags._trace, flags._model, flags._hardware, flags._policy, flags._rate, flags._findRate, flags._slo,
            flags._rateScale, flags._duration, flags._blockSize, flags._n, flags._beam, flags._sharedPrefix, flags._prefixCache, flags._gpuBlocks,
            flags._swapSpace, flags._seed, flags._out, flags._format, flags._paper, flags._traces])
            command.Add(option);
        flags._format.AcceptOnlyFromAmong("table", "csv", "json");
        command.SetAction(flags.Run);
        command.Teach("""
            nativelm simulate --find-rate --slo 0.1 --model llama-3.1-8b --hardware h200     # what can I promise?
            nativelm simulate --rate 2 --policy nativelm,paper,orca-max,orca-oracle,static    # policies side by side
            nativelm simulate --trace azure.csv --rate-scale 0.5                              # recorded arrivals, half as fast
            nativelm simulate --trace alpaca --rate 5 --beam 4 --policy paper                 # blocks that beams share
            nativelm simulate --paper --out docs/paper                                        # the paper's figures

            Times are predictions of a cost model; the files name every constant and its origin. The decisions are those of the engine itself.
            """);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        using CancellationTokenSource cancel = new();
        using StopSignals signals = new();
        _ = signals.First.ContinueWith(_ => cancel.Cancel(), TaskScheduler.Default);
        return parsed.GetValue(_paper) ? RunPaper(parsed, cancel.Token) : RunComparison(parsed, cancel.Token);
    }

    private int RunPaper(ParseResult parsed, CancellationToken cancellation)
    {
        string? folder = parsed.GetValue(_traces);
        if (folder is not null && !Directory.Exists(folder))
            throw new UsageException($"--traces: found no folder '{folder}', needed one with the recorded traces");
        string? output = parsed.GetValue(_out);
        Evaluation evaluation = Progress.Run("the paper's figures", share => Evaluation.Run(folder, plots: output is not null, share, cancellation));
        SimulateOutput.Print(evaluation, parsed.GetValue(_format)!);
        if (output is not null)
            EvaluationReport.Write(evaluation, output, BuildInfo.Version);
        return evaluation.Rows.All(static r => r.IsWithin) ? CommandLineApp.Success : CommandLineApp.Failure;
    }

    private int RunComparison(ParseResult parsed, CancellationToken cancellation)
    {
        Scenario common = Common(parsed);
        Workload workload = Source(parsed, common.Model);
        double duration = parsed.GetValue(_duration);
        double? target = parsed.GetValue(_findRate) ? parsed.GetValue(_slo) : null;
        ServingPolicy[] policies = Policies(parsed);
        string? output = parsed.GetValue(_out);
        bool hasCurves = output is not null && (target is not null || parsed.GetValue(_rate) is not null);
        ComparisonReport report = Progress.Run("simulating", progress =>
        {
            List<ComparisonRow> rows = [];
            List<PlotSeries> curves = [];
            foreach (ServingPolicy policy in policies)
            {
                cancellation.ThrowIfCancellationRequested();
                ComparisonRow row = RunPolicy(parsed, common with { Policy = policy }, workload, duration, target, cancellation);
                rows.Add(row);
                if (hasCurves && row.Rate > 0)
                    curves.Add(ComparisonReport.Curve(common with { Policy = policy }, workload, duration, row.Rate,
                        2 * (target ?? row.Run.NormalisedLatency)));
                progress(rows.Count / (double)policies.Length);
            }
            return new ComparisonReport(common, workload.Origin, duration, target, rows) { Curves = curves };
        });
        SimulateOutput.Print(report, parsed.GetValue(_format)!);
        if (output is not null)
            report.Write(output, BuildInfo.Version);
        return CommandLineApp.Success;
    }

    private ComparisonRow RunPolicy(ParseResult parsed, Scenario scenario, Workload workload, double duration, double? target,
        CancellationToken cancellation)
    {
        double? rate = target is double bound ? SustainedRate.Find(scenario, workload, duration, bound, cancellation: cancellation)
            : parsed.GetValue(_rate);
        IReadOnlyList<TraceRequest> requests = rate is double poisson
            ? poisson > 0 ? workload.Poisson(poisson, duration, scenario.Seed) : []
            : workload.Recorded(parsed.GetValue(_rateScale), duration)
                ?? throw new UsageException($"--trace {workload.Name} has no arrivals of its own; give --rate or --find-rate");
        double window = rate is null && requests.Count > 0 ? Math.Min(duration, requests[^1].Arrival + 1) : duration;
        return new ComparisonRow(scenario.Policy, rate ?? requests.Count / window, Simulator.Run(scenario, requests, new RunLimits(window)));
    }

    private Scenario Common(ParseResult parsed)
    {
        ModelShape model = ModelShape.Load(parsed.GetValue(_model)!);
        GpuSpec gpu = GpuSpec.Load(parsed.GetValue(_hardware) ?? model.Hardware ?? "h200");
        Within("--block-size", parsed.GetValue(_blockSize), 1, 1 << 16);
        Within("--n", parsed.GetValue(_n), 1, 64);
        Within("--beam", parsed.GetValue(_beam) ?? 2, 2, 16);
        Within("--duration", parsed.GetValue(_duration), 1, 1e6);
        Within("--rate", parsed.GetValue(_rate) ?? 1, 1e-3, 1e5);
        Within("--rate-scale", parsed.GetValue(_rateScale), 1e-3, 1e3);
        Within("--slo", parsed.GetValue(_slo), 1e-4, 1e3);
        Within("--swap-space", parsed.GetValue(_swapSpace), 0, 1 << 14);
        Within("--gpu-blocks", parsed.GetValue(_gpuBlocks) ?? 1, 1, 1 << 26);
        if (parsed.GetValue(_beam) is not null && parsed.GetValue(_n) > 1)
            throw new UsageException("--n (parallel samples) and --beam exclude each other");
        if (parsed.GetValue(_findRate) && parsed.GetValue(_rate) is not null)
            throw new UsageException("--rate gives a rate and --find-rate looks for one; use one of them");
        Scenario scenario = new()
        {
            Model = model,
            Gpu = gpu,
            Policy = ServingPolicy.NativeLM,
            BlockSize = parsed.GetValue(_blockSize),
            Width = parsed.GetValue(_beam) ?? parsed.GetValue(_n),
            IsBeam = parsed.GetValue(_beam) is not null,
            PrefixCache = OnOff("--prefix-cache", parsed.GetValue(_prefixCache)),
            KvSlots = parsed.GetValue(_gpuBlocks) is int blocks ? checked(blocks * parsed.GetValue(_blockSize)) : null,
            SwapBytes = parsed.GetValue(_swapSpace) * (1L << 30),
            Seed = unchecked((ulong)parsed.GetValue(_seed)),
        };
        long needed = (long)model.Context * (scenario.Width + 1);
        return scenario.Slots >= Math.Min(needed, model.Context) ? scenario
            : throw new UsageException($"--gpu-blocks: found room for {scenario.Slots} tokens, needed at least one context of {model.Context}");
    }

    private Workload Source(ParseResult parsed, ModelShape model)
    {
        string name = parsed.GetValue(_trace)!;
        Within("--shared-prefix", parsed.GetValue(_sharedPrefix), 0, 1024);
        return name switch
        {
            "sharegpt" => FittedWorkload.ShareGpt,
            "alpaca" => FittedWorkload.Alpaca,
            "chat" => FittedWorkload.Chat,
            "wmt" => FittedWorkload.Wmt(parsed.GetValue(_sharedPrefix)),
            "rounds" => new ConversationWorkload(Math.Max(1024, Math.Min(8192, model.Context - 1024)), 30),
            _ => File.Exists(name) ? new RecordedWorkload(name, TraceReader.Read(name), model.Context)
                : throw new UsageException($"--trace: found neither a trace nor a file called '{name}', needed sharegpt, alpaca, chat, rounds, wmt "
                    + "or a CSV or JSONL file"),
        };
    }

    private ServingPolicy[] Policies(ParseResult parsed) =>
        [.. parsed.GetValue(_policy)!.Split(',', StringSplitOptions.TrimEntries).Select(static word => ServingPolicies.Parse(word)
        ?? throw new UsageException($"--policy: found '{word}', needed some of {string.Join(", ", ServingPolicies.Words)}"))];

    private static void Within(string flag, double value, double min, double max)
    {
        if (!(value >= min && value <= max))
            throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"{flag}: found {value}, needed a number from {min} to {max}"));
    }

    private static bool? OnOff(string flag, string? word) => word switch
    {
        null => null,
        "on" => true,
        "off" => false,
        _ => throw new UsageException($"{flag}: found '{word}', needed on or off"),
    };

    private static string Known(string kind) => string.Join(", ", ConstantTable.Names(kind));
}
