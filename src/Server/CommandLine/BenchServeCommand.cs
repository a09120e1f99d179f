using System.CommandLine;
using System.Globalization;
using NativeLM.Server.Bench;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm bench serve: load a running server and report latencies and throughput.</summary>
internal sealed class BenchServeCommand
{
    private readonly Option<string> _baseUrl = Flag.With("--base-url", "Server to load.", "http://127.0.0.1:8000");
    private readonly Option<string?> _compareUrl = Flag.Of<string?>("--compare-url", "A second server; rounds alternate between the two.");
    private readonly Option<string?> _model = Flag.Of<string?>("--model", "Model name in the requests. Default: the first one the server lists.");
    private readonly Option<string?> _apiKey = Flag.Of<string?>("--api-key", "Key sent to the servers.");
    private readonly Option<int> _count = Flag.With("--num-prompts", "Requests per round.", 100);
    private readonly Option<int> _input = Flag.With("--input-len", "Prompt tokens.", 128, "--random-input-len");
    private readonly Option<int> _output = Flag.With("--output-len", "Output tokens (EOS is ignored).", 64, "--random-output-len");
    private readonly Option<double> _range = Flag.With("--range-ratio", "Lengths vary uniformly by this share, 0 to 1.", 0.0, "--random-range-ratio");
    private readonly Option<double?> _rate = Flag.Of<double?>("--request-rate", "Open loop: Poisson arrivals, this many per second.");
    private readonly Option<int?> _concurrency = Flag.Of<int?>("--concurrency",
        "Closed loop: this many clients. Default without a rate or trace: all at once.", "--max-concurrency");
    private readonly Option<string?> _trace = Flag.Of<string?>("--trace", "Arrivals and lengths from a CSV or JSONL trace.");
    private readonly Option<double> _lengthScale = Flag.With("--length-scale", "Multiplies the lengths of a trace.", 1.0);
    private readonly Option<double> _timeScale = Flag.With("--time-scale", "Multiplies the arrival times of a trace.", 1.0);
    private readonly Option<int> _inputMax = Flag.With("--max-input-len", "Caps the prompts of a trace.", 1 << 20);
    private readonly Option<int> _outputMax = Flag.With("--max-output-len", "Caps the outputs of a trace.", 1 << 20);
    private readonly Option<int> _vocabulary = Flag.With("--vocab-size", "Prompts are random token ids below this.", 256);
    private readonly Option<int> _seed = Flag.With("--seed", "Seed of lengths, arrivals and prompts.", 0);
    private readonly Option<int> _rounds = Flag.With("--rounds", "Repetitions; with --compare-url the servers take turns.", 1);
    private readonly Option<int> _warmup = Flag.With("--num-warmups", "Requests sent before measuring.", 1);
    private readonly Option<string[]> _goodput = Flag.Many("--goodput", "Demands on a good request: ttft:MS tpot:MS e2el:MS.");
    private readonly Option<string?> _json = new("--json") { Description = "Write every figure to this file.", HelpName = "FILE" };

    public static Command Build()
    {
        BenchServeCommand flags = new();
        Command command = new("serve",
            "Load a running OpenAI-compatible server and report TTFT, TPOT, ITL and E2E percentiles, throughput and the longest gap.");
        foreach (Option option in (Option[])[flags._baseUrl, flags._compareUrl, flags._model, flags._apiKey, flags._count, flags._input,
            flags._output, flags._range, flags._rate, flags._concurrency, flags._trace, flags._lengthScale, flags._timeScale, flags._inputMax,
            flags._outputMax, flags._vocabulary, flags._seed, flags._rounds, flags._warmup, flags._goodput, flags._json])
            command.Add(option);
        command.SetAction(flags.RunAsync);
        command.Teach("""
            nativelm bench serve --concurrency 16 --input-len 128 --output-len 64
            nativelm bench serve --request-rate 4 --num-prompts 200 --goodput ttft:500 tpot:50
            nativelm bench serve --trace azure.csv --time-scale 0.5 --max-input-len 256 --max-output-len 128
            nativelm bench serve --compare-url http://127.0.0.1:8080 --rounds 3 --concurrency 16 --json result.json

            TTFT: time to first token. TPOT: mean time per later token. ITL: gap between events. E2E: whole request.
            """);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        IReadOnlyList<PlannedRequest> plan = Plan(parsed);
        string? goodputWords = parsed.GetValue(_goodput) is { Length: > 0 } words ? string.Join(' ', words) : null;
        Goodput? goodput = goodputWords is null ? null : Goodput.Parse(goodputWords.Split(' '));
        List<LoadClient> clients = [];
        List<string> names = [];
        List<LoadReport> reports = [];
        try
        {
            foreach (string? url in (string?[])[parsed.GetValue(_baseUrl), parsed.GetValue(_compareUrl)])
            {
                if (url is null)
                    continue;
                LoadClient client = new(Target(parsed, url));
                clients.Add(client);
                names.Add(url);
                await client.ConnectAsync(cancellation);
                foreach (PlannedRequest warm in plan.Take(parsed.GetValue(_warmup)))
                    await client.SendAsync(warm, System.Diagnostics.Stopwatch.GetTimestamp(), cancellation);
            }
            for (int round = 0; round < parsed.GetValue(_rounds); round++)
                for (int i = 0; i < clients.Count; i++)
                {
                    LoadResult result = await RunOnceAsync(clients[i], plan, parsed, $"{names[i]} round {round + 1}", cancellation);
                    reports.Add(LoadReport.From(names[i], result, goodput));
                }
        }
        finally
        {
            clients.ForEach(static client => client.Dispose());
        }
        BenchOutput.Print(reports);
        BenchOutput.WriteJson(parsed.GetValue(_json), new BenchReport("serve", Settings(parsed, goodputWords), reports));
        return reports.Any(static r => r.Completed == 0) ? CommandLineApp.Failure : CommandLineApp.Success;
    }

    private List<PlannedRequest> Plan(ParseResult parsed)
    {
        Require(parsed.GetValue(_count) >= 1, "--num-prompts must be at least 1");
        Require(parsed.GetValue(_input) >= 1 && parsed.GetValue(_output) >= 1, "--input-len and --output-len must be at least 1");
        Require(parsed.GetValue(_range) is >= 0 and <= 1, "--range-ratio must be from 0 to 1");
        Require(parsed.GetValue(_vocabulary) > 8, "--vocab-size must be above 8");
        Require(parsed.GetValue(_rounds) >= 1, "--rounds must be at least 1");
        Require(parsed.GetValue(_rate) is null or > 0, "--request-rate must be above 0");
        Require(parsed.GetValue(_concurrency) is null or >= 1, "--concurrency must be at least 1");
        Require(parsed.GetValue(_rate) is null || parsed.GetValue(_concurrency) is null,
            "--request-rate (open loop) and --concurrency (closed loop) exclude each other");
        int seed = parsed.GetValue(_seed);
        List<PlannedRequest> plan = parsed.GetValue(_trace) is string trace
            ? LoadPlan.Fit(TraceFile.Read(trace), parsed.GetValue(_count), parsed.GetValue(_lengthScale), parsed.GetValue(_timeScale),
                parsed.GetValue(_inputMax), parsed.GetValue(_outputMax))
            : LoadPlan.Uniform(parsed.GetValue(_count), parsed.GetValue(_input), parsed.GetValue(_output), parsed.GetValue(_range), seed);
        return parsed.GetValue(_rate) is double rate ? LoadPlan.WithPoissonArrivals(plan, rate, seed) : plan;
    }

    private LoadTarget Target(ParseResult parsed, string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) && uri.Scheme is "http" or "https"
            ? new LoadTarget(uri, parsed.GetValue(_model), parsed.GetValue(_apiKey), parsed.GetValue(_vocabulary))
            : throw new UsageException($"--base-url: found '{url}', needed an address such as http://127.0.0.1:8000");

    private Task<LoadResult> RunOnceAsync(LoadClient client, IReadOnlyList<PlannedRequest> plan, ParseResult parsed, string label,
        CancellationToken cancellation) =>
        Progress.RunAsync(label, plan.Count, advance => parsed.GetValue(_concurrency) is int concurrency
            ? LoadRun.ClosedAsync(client, plan, concurrency, _ => advance(), cancellation)
            : LoadRun.OpenAsync(client, plan, _ => advance(), cancellation));

    private Dictionary<string, string> Settings(ParseResult parsed, string? goodput)
    {
        Dictionary<string, string> settings = new()
        {
            ["base_url"] = parsed.GetValue(_baseUrl)!,
            ["num_prompts"] = Invariant(parsed.GetValue(_count)),
            ["seed"] = Invariant(parsed.GetValue(_seed)),
            ["input_len"] = Invariant(parsed.GetValue(_input)),
            ["output_len"] = Invariant(parsed.GetValue(_output)),
            ["range_ratio"] = Invariant(parsed.GetValue(_range)),
        };
        (string, string?)[] optional =
        [
            ("compare_url", parsed.GetValue(_compareUrl)),
            ("trace", parsed.GetValue(_trace)),
            ("goodput", goodput),
            ("request_rate", parsed.GetValue(_rate) is double rate ? Invariant(rate) : null),
            ("concurrency", parsed.GetValue(_concurrency) is int clients ? Invariant(clients) : null),
        ];
        foreach ((string name, string? value) in optional)
            if (value is not null)
                settings[name] = value;
        return settings;

        static string Invariant(IFormattable value) => value.ToString(null, CultureInfo.InvariantCulture);
    }

    private static void Require(bool ok, string message)
    {
        if (!ok)
            throw new UsageException(message);
    }
}
