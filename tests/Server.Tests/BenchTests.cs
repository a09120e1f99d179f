using NativeLM.Server.Bench;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>The load generator: plans, traces, figures, and a run against a real server.</summary>
public sealed class BenchTests(TestServer server) : IClassFixture<TestServer>
{
    [Fact]
    public void Poisson_arrivals_have_the_asked_rate_and_repeat_with_the_seed()
    {
        List<PlannedRequest> plan = LoadPlan.WithPoissonArrivals(LoadPlan.Uniform(20_000, 100, 50, 0.5, 1), 8, 1);
        double rate = plan.Count / plan[^1].Arrival.TotalSeconds;
        Assert.InRange(rate, 7.7, 8.3);
        double[] gaps = [.. plan.Zip(plan.Skip(1), static (a, b) => (b.Arrival - a.Arrival).TotalSeconds)];
        double mean = gaps.Average();
        double deviation = Math.Sqrt(gaps.Average(g => (g - mean) * (g - mean)));
        Assert.InRange(deviation / mean, 0.95, 1.05);
        Assert.InRange(plan.Average(static r => r.InputLength), 98, 102);
        Assert.All(plan, static r => Assert.InRange(r.InputLength, 50, 150));
        Assert.Equal(plan, LoadPlan.WithPoissonArrivals(LoadPlan.Uniform(20_000, 100, 50, 0.5, 1), 8, 1));
    }

    [Theory]
    [InlineData("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.6805900,396,109\n")]
    [InlineData("b.csv", "timestamp_ms,prompt_tokens,output_tokens\n6000,374,44\n10000,396,109\n")]
    [InlineData("c.jsonl",
        "{\"timestamp\": 0, \"input_length\": 374, \"output_length\": 44, \"hash_ids\": [1]}\n{\"timestamp\": 4000, \"input_length\": 396, \"output_length\": 109}\n")]
    public void Published_trace_formats_are_read(string name, string text)
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}-{name}");
        File.WriteAllText(path, text);
        try
        {
            List<PlannedRequest> rows = TraceFile.Read(path);
            Assert.Equal([374, 396], rows.Select(static r => r.InputLength));
            Assert.Equal([44, 109], rows.Select(static r => r.OutputLength));
            Assert.Equal(4, rows[1].Arrival.TotalSeconds, 3);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("traces/AzureLLMInferenceTrace_conv_2023.csv", 19_366, 1154.7, 211.1)]
    [InlineData("traces/mooncake_synthetic_trace.jsonl", 3_993, 15_325, 149.1)]
    [InlineData("traces/aibrix_8min_up_and_down_lengths.csv", 2_026, 293.6, 73.3)]
    [InlineData("traces/alpaca2000_lengths_llama2_tokenizer.csv", 2_000, 19.56, 65.9)]
    [InlineData("traces/sharegpt_8k_filtered_stats_llama2_tokenizer.csv", 30_731, 2340, 438.7)]
    public void Real_traces_have_their_published_means(string trace, int count, double input, double output)
    {
        List<PlannedRequest> rows = TraceFile.Read(NativeLM.Tests.TestData.Require(trace));
        Assert.Equal(count, rows.Count);
        Assert.InRange(rows.Average(static r => r.InputLength), input * 0.999, input * 1.001);
        Assert.InRange(rows.Average(static r => r.OutputLength), output * 0.999, output * 1.001);
    }

    [Fact]
    public void Percentiles_are_nearest_ranks()
    {
        Summary summary = Summary.Of(Enumerable.Range(1, 1000).Select(static i => (double)i))!;
        Assert.Equal((500.5, 500, 900, 990, 1000), (summary.Mean, summary.P50, summary.P90, summary.P99, summary.Max));
        Assert.Null(Summary.Of([]));
    }

    [Fact]
    public async Task A_closed_loop_counts_every_token()
    {
        LoadResult result = await RunAsync(static (client, plan) => LoadRun.ClosedAsync(client, plan, 8, null, CancellationToken.None));
        LoadReport report = LoadReport.From("x", result, Goodput.Parse(["ttft:60000"]));
        Assert.Equal((32, 0, 32L * 24, 32L * 12), (report.Completed, report.Failed, report.InputTokens, report.OutputTokens));
        Assert.Equal(report.RequestsPerSecond, report.GoodRequestsPerSecond);
        Assert.NotNull(report.TpotMs);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task An_open_loop_sends_on_time()
    {
        LoadResult result = await RunAsync(static (client, plan) =>
            LoadRun.OpenAsync(client, LoadPlan.WithPoissonArrivals(plan, 200, 5), null, CancellationToken.None));
        Assert.All(result.Records, static r => Assert.Null(r.Error));
        Assert.True(result.Records[^1].Sent > 0.05);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Failures_are_counted_not_hidden()
    {
        using LoadClient client = new(new LoadTarget(server.Address, "nope", null, 256));
        await client.ConnectAsync(CancellationToken.None);
        RequestRecord record = await client.SendAsync(new PlannedRequest(default, 4, 4, 0), 0, CancellationToken.None);
        Assert.Equal("HTTP 404", record.Error);
    }

    [Theory]
    [InlineData("ttft")]
    [InlineData("ttft:x")]
    [InlineData("speed:5")]
    [InlineData("tpot:-1")]
    public void A_malformed_demand_is_refused(string demand) => Assert.Throws<ArgumentException>(() => Goodput.Parse([demand]));

    private async Task<LoadResult> RunAsync(Func<LoadClient, IReadOnlyList<PlannedRequest>, Task<LoadResult>> run)
    {
        using LoadClient client = new(new LoadTarget(server.Address, null, null, 256));
        await client.ConnectAsync(CancellationToken.None);
        return await run(client, LoadPlan.Uniform(32, 24, 12, 0, 9));
    }
}
