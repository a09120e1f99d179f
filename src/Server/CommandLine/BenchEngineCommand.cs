using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using NativeLM.Engine;
using NativeLM.Server.Bench;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm bench throughput and latency: the engine in this process, without HTTP.</summary>
internal sealed class BenchEngineCommand
{
    private readonly EngineFlags _engine;
    private readonly bool _isLatency;
    private readonly Option<int> _input = Flag.With("--input-len", "Prompt tokens.", 128);
    private readonly Option<int> _output = Flag.With("--output-len", "Output tokens (EOS is ignored).", 64);
    private readonly Option<int> _count;
    private readonly Option<int> _iterations = Flag.With("--num-iters", "Measured repetitions.", 5);
    private readonly Option<int> _warmups = Flag.With("--num-iters-warmup", "Repetitions before measuring.", 1);
    private readonly Option<string?> _json = new("--json") { Description = "Write every figure to this file.", HelpName = "FILE" };

    private BenchEngineCommand(Command command, bool isLatency)
    {
        _isLatency = isLatency;
        _engine = new EngineFlags(command);
        _count = isLatency
            ? new("--batch-size") { Description = "Requests of one repetition, sent together.", DefaultValueFactory = static _ => 8 }
            : new("--num-prompts") { Description = "Requests, all sent at once.", DefaultValueFactory = static _ => 100 };
        foreach (Option option in (Option[])[_input, _output, _count, _json])
            command.Add(option);
        if (!isLatency)
            return;
        command.Add(_iterations);
        command.Add(_warmups);
    }

    public static Command BuildThroughput()
    {
        Command command = new("throughput", "Give the engine many requests at once and report tokens per second.");
        command.SetAction(new BenchEngineCommand(command, isLatency: false).RunAsync);
        command.Teach("nativelm bench throughput ./my-model --num-prompts 200 --input-len 256 --output-len 128 --json result.json");
        return command;
    }

    public static Command BuildLatency()
    {
        Command command = new("latency", "Run one batch again and again and report the latency of its requests.");
        command.SetAction(new BenchEngineCommand(command, isLatency: true).RunAsync);
        command.Teach("nativelm bench latency ./my-model --batch-size 1 --input-len 32 --output-len 128 --num-iters 10");
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        int count = parsed.GetValue(_count);
        int iterations = _isLatency ? parsed.GetValue(_iterations) : 1;
        int warmups = _isLatency ? parsed.GetValue(_warmups) : 0;
        if (count < 1 || iterations < 1 || warmups < 0 || parsed.GetValue(_input) < 1 || parsed.GetValue(_output) < 1)
            throw new UsageException("counts and lengths must be at least 1");
        EngineOptions options = _engine.Read(parsed) with { MaxQueuedRequests = count, MaxQueuedTokens = long.MaxValue };
        await using LlmEngine engine = EngineLoading.Load(options);
        IReadOnlyList<PlannedRequest> plan = LoadPlan.Uniform(count, parsed.GetValue(_input), parsed.GetValue(_output), 0, seed: 0);
        List<RequestRecord> records = [];
        double seconds = 0;
        for (int i = 0; i < warmups + iterations; i++)
        {
            LoadResult result = await Progress.RunAsync($"repetition {i + 1}", count, advance => RunOnceAsync(engine, plan, advance, cancellation));
            if (i < warmups)
                continue;
            records.AddRange(result.Records);
            seconds += result.Seconds;
        }
        LoadReport report = LoadReport.From($"{engine.Info.ModelName} in process", new LoadResult(records, seconds), null);
        BenchOutput.Print([report]);
        BenchOutput.WriteJson(parsed.GetValue(_json), new BenchReport(_isLatency ? "latency" : "throughput", Settings(parsed, engine.Info),
            [report]));
        return report.Completed == 0 ? CommandLineApp.Failure : CommandLineApp.Success;
    }

    private static async Task<LoadResult> RunOnceAsync(LlmEngine engine, IReadOnlyList<PlannedRequest> plan, Action advance,
        CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        RequestRecord[] records = await Task.WhenAll(plan.Select(request => SendAsync(engine, request, start, advance, cancellation)));
        return new LoadResult(records, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private static async Task<RequestRecord> SendAsync(LlmEngine engine, PlannedRequest planned, long runStart, Action advance,
        CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        RequestRecord record = new() { Sent = Stopwatch.GetElapsedTime(runStart, start).TotalSeconds, InputCount = planned.InputLength };
        SamplingParams sampling = new() { Temperature = 0, IgnoreEos = true, MaxTokens = planned.OutputLength };
        Generation tokens = engine.Submit(new GenerationRequest
        {
            PromptIds = LoadPlan.PromptIds(planned, engine.Info.VocabularySize),
            Sampling = sampling,
        });
        double last = 0;
        await foreach (TokenEvent next in tokens.WithCancellation(cancellation))
        {
            if (next.FinishReason is FinishReason.Error or FinishReason.Cancelled)
                record.Error = next.FinishReason.ToString();
            if (next.TokenId < 0)
                continue;
            double now = Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (record.OutputCount++ == 0)
                record.FirstToken = now;
            else
                record.Gaps.Add(now - last);
            record.Total = last = now;
        }
        advance();
        return record;
    }

    private Dictionary<string, string> Settings(ParseResult parsed, EngineInfo info) => new()
    {
        ["model"] = info.ModelName,
        ["device"] = info.Device,
        ["dtype"] = info.DType,
        ["count"] = parsed.GetValue(_count).ToString(CultureInfo.InvariantCulture),
        ["input_len"] = parsed.GetValue(_input).ToString(CultureInfo.InvariantCulture),
        ["output_len"] = parsed.GetValue(_output).ToString(CultureInfo.InvariantCulture),
    };
}
