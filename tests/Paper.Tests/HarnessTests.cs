using System.Xml.Linq;
using NativeLM.Simulation;
using NativeLM.Simulation.Figures;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The simulator checks itself: laws that hold whatever the constants are, closed forms, and slow loops that must agree with fast
/// ones.</summary>
public sealed class HarnessTests
{
    private static readonly ModelShape Opt13 = ModelShape.Load("opt-13b");
    private static readonly GpuSpec A100 = GpuSpec.Load("a100-40");

    public static TheoryData<string> Policies => [.. ServingPolicies.Words];

    [Theory, MemberData(nameof(Policies))]
    public void Littles_law_holds_and_nothing_is_busier_than_always(string policy)
    {
        RunResult run = Simulate(policy, FittedWorkload.ShareGpt, rate: policy == "static" ? 0.2 : 0.6, duration: 1200);
        Assert.Equal(run.Requests, run.Completed);
        Assert.InRange(run.RequestsInSystem * run.Window / run.SojournInWindow, 0.98, 1.02);
        Assert.InRange(run.Utilisation, 0.1, 1);
        Assert.InRange(run.Memory.Tokens + run.Memory.Reserved + run.Memory.Internal + run.Memory.External, 0.999, 1.001);
        Assert.All(new[] { run.Memory.Tokens, run.Memory.Reserved, run.Memory.Internal, run.Memory.External }, share => Assert.InRange(share, 0, 1));
    }

    [Theory, MemberData(nameof(Policies))]
    public void A_lone_request_has_the_latency_of_the_closed_form(string policy)
    {
        Scenario scenario = Setting(policy);
        CostModel costs = scenario.Costs();
        const int Input = 200, Output = 50;
        double expected = costs.Pass(0, 0, Input, CostModel.Pairs(0, Input));
        for (int token = 1; token < Output; token++)
            expected += costs.Pass(1, Input + token, 0, 0);
        RunResult run = Simulator.Run(scenario, [new TraceRequest(1, Input, Output)], new RunLimits(100));
        // FasterTransformer's batch reads one token less: its last one is never put back.
        Assert.Equal(expected / Output, run.NormalisedLatency, policy == "static" ? 2e-5 : 1e-7);
    }

    [Fact]
    public void Hardware_twice_as_fast_halves_everything_but_the_hosts_part()
    {
        GpuSpec twice = A100 with
        {
            Bandwidth = 2 * A100.Bandwidth,
            Flops = 2 * A100.Flops,
            SwapBandwidth = 2 * A100.SwapBandwidth,
            SwapCallSeconds = A100.SwapCallSeconds / 2,
            AllReduceSeconds = A100.AllReduceSeconds / 2,
            LinkBandwidth = 2 * A100.LinkBandwidth,
        };
        ModelShape model = ModelShape.Load("opt-66b");
        HostOverhead none = default;
        CostModel slow = new(model, A100, none, 16), fast = new(model, twice, none, 16), slowHost = new(model, A100, A100.PaperOverhead, 16);
        foreach ((int decodes, double kv, double prefill) in new[] { (1, 10.0, 0.0), (200, 20_000.0, 0.0), (0, 0.0, 2000.0), (100, 9000.0, 500.0) })
        {
            double pairs = CostModel.Pairs(0, prefill);
            Assert.Equal(slow.Pass(decodes, kv, prefill, pairs) / 2, fast.Pass(decodes, kv, prefill, pairs), 1e-12);
            Assert.Equal(slow.Pass(decodes, kv, prefill, pairs) + A100.PaperOverhead.Step + decodes * A100.PaperOverhead.Sequence,
                slowHost.Pass(decodes, kv, prefill, pairs), 1e-12);
        }
        Assert.Equal(slow.Swap(5) / 2, fast.Swap(5), 1e-12);
        Assert.Equal(slow.Copy(5) / 2, fast.Copy(5), 1e-12);
    }

    [Fact]
    public void Chunks_of_a_prompt_cost_the_attention_of_the_whole() =>
        Assert.Equal(CostModel.Pairs(0, 1000), CostModel.Pairs(0, 300) + CostModel.Pairs(300, 500) + CostModel.Pairs(800, 200), 1e-9);

    // Seven blocks of a whole context are seven chunks of a whole context; the two differ in who waits for a prompt's pass.
    [Theory]
    [InlineData(0.3)]
    [InlineData(0.5)]
    public void Paging_in_blocks_of_a_whole_context_is_orca_max(double rate)
    {
        IReadOnlyList<TraceRequest> requests = FittedWorkload.ShareGpt.Poisson(rate, 1800, 3);
        RunResult paged = Simulator.Run(Setting("paper") with { BlockSize = 2048 }, requests, new RunLimits(1800));
        RunResult orca = Simulator.Run(Setting("orca-max"), requests, new RunLimits(1800));
        Assert.InRange(paged.NormalisedLatency / orca.NormalisedLatency, 0.97, 1.03);
        Assert.InRange(paged.BatchedRequests / orca.BatchedRequests, 0.98, 1.02);
        Assert.Equal(0, paged.Preemptions);
    }

    [Fact]
    public void Paging_in_blocks_of_a_whole_context_sustains_what_orca_max_does()
    {
        double paged = SustainedRate.Find(Setting("paper") with { BlockSize = 2048 }, FittedWorkload.ShareGpt, 1800, 0.5);
        Assert.InRange(paged / SustainedRate.Find(Setting("orca-max"), FittedWorkload.ShareGpt, 1800, 0.5), 0.97, 1.03);
    }

    [Theory]
    [InlineData("orca-max", 1)]
    [InlineData("orca-pow2", 1)]
    [InlineData("orca-oracle", 1)]
    [InlineData("orca-oracle", 3)]
    public void The_event_driven_loop_is_the_naive_one(string policy, int width)
    {
        IReadOnlyList<TraceRequest> requests = FittedWorkload.ShareGpt.Poisson(1.5 / width, 200, 5);
        Scenario scenario = Setting(policy) with { Width = width };
        RunResult fast = Simulator.Run(scenario, requests, new RunLimits(200));
        Assert.Equal(NaiveOrca.NormalisedLatency(scenario, requests), fast.NormalisedLatency, 1e-9);
    }

    [Theory, MemberData(nameof(Policies))]
    public void The_same_seed_gives_the_same_bytes(string policy)
    {
        Assert.Equal(Report(1), Report(1));
        Assert.NotEqual(Report(1), Report(2));

        string Report(ulong seed)
        {
            Scenario scenario = Setting(policy) with { Seed = seed, Width = 2, IsBeam = true };
            RunResult run = Simulator.Run(scenario, FittedWorkload.Alpaca.Poisson(2, 100, seed), new RunLimits(100));
            ComparisonReport report = new(scenario, "alpaca", 100, null, [new ComparisonRow(scenario.Policy, 2, run)]);
            return report.Csv() + System.Text.Encoding.UTF8.GetString(report.Json("1")) + string.Concat(report.Plots().Select(p => p.Plot.Render()));
        }
    }

    [Fact]
    public void Stopping_early_never_changes_the_answer_of_a_search()
    {
        IReadOnlyList<TraceRequest> requests = FittedWorkload.ShareGpt.Poisson(1.2, 900, 1);
        foreach (string policy in new[] { "paper", "orca-max", "static" })
            foreach (double bound in new[] { 0.05, 0.3, 1.5 })
                Assert.Equal(Simulator.Run(Setting(policy), requests, new RunLimits(900)).NormalisedLatency > bound,
                    Simulator.Run(Setting(policy), requests, new RunLimits(900, bound)).IsAboveBound);
    }

    [Fact]
    public void The_rate_found_holds_and_the_next_one_does_not()
    {
        Scenario scenario = Setting("orca-oracle");
        foreach (double guess in new[] { 0.01, 1, 40 })
        {
            double rate = SustainedRate.Find(scenario, FittedWorkload.ShareGpt, 600, 0.3, guess);
            Assert.True(Latency(rate) <= 0.3);
            Assert.True(Latency(rate * SustainedRate.Precision * 1.02) > 0.3);
        }

        double Latency(double rate) =>
            Simulator.Run(scenario, FittedWorkload.ShareGpt.Poisson(rate, 600, scenario.Seed), new RunLimits(600)).NormalisedLatency;
    }

    [Fact]
    public void A_target_that_no_rate_meets_gives_none() =>
        Assert.Equal(0, SustainedRate.Find(Setting("paper"), FittedWorkload.ShareGpt, 600, bound: 0.001));

    [Fact]
    public void Nothing_is_faster_than_its_memory_and_its_arithmetic()
    {
        GpuSpec h200 = GpuSpec.Load("h200");
        Check("llama-3.1-8b", [(1, 284), (8, 2139), (64, 11_661), (256, 22_297)]);
        Check("qwen3-0.6b", [(1, 3284), (8, 16_139), (64, 31_602), (256, 35_218)]);
        Assert.True(new CostModel(ModelShape.Load("llama-3.1-8b"), h200, h200.NativeOverhead, 16).Pass(0, 0, 8192, CostModel.Pairs(0, 8192)) > 0.167);

        void Check(string model, (int Batch, double TokensPerSecond)[] limits)
        {
            CostModel costs = new(ModelShape.Load(model), h200, h200.NativeOverhead, 16);
            foreach ((int batch, double limit) in limits)
                Assert.InRange(batch / costs.Pass(batch, batch * 1024.0, 0, 0), limit * 0.5, limit);
        }
    }

    [Fact]
    public void A_simulated_hour_takes_about_a_second()
    {
        TimeSpan best = Enumerable.Range(0, 3).Min(_ =>
        {
            long start = System.Diagnostics.Stopwatch.GetTimestamp();
            Simulate("paper", FittedWorkload.ShareGpt, 2, 3600);
            return System.Diagnostics.Stopwatch.GetElapsedTime(start);
        });
        Assert.True(best < TimeSpan.FromSeconds(5), $"an hour of OPT-13B took {best.TotalSeconds:0.0} s"); // 0.3 s on an idle core
    }

    [Theory]
    [InlineData("[1]", "object")]
    [InlineData("{\"name\": \"x\", \"layers\": 3}", "layers")]
    [InlineData("{\"layers\": {\"value\": \"3\", \"origin\": \"o\"}}", "layers")]
    [InlineData("{\"layers\": {\"value\": 0, \"origin\": \"o\"}}", "layers")]
    [InlineData("{\"layers\": {\"value\": 3, \"origin\": \"o\"}}", "hidden")]
    [InlineData("{", "JSON")]
    public void A_broken_table_of_constants_is_an_error_that_names_the_field(string json, string word)
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.json");
        File.WriteAllText(path, json);
        try
        {
            InvalidDataException failure = Assert.Throws<InvalidDataException>(() => ModelShape.Load(path));
            Assert.Contains(word, failure.Message);
            Assert.Contains(path, failure.Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void An_unknown_model_is_an_error_that_lists_those_there_are() =>
        Assert.Contains("opt-13b", Assert.Throws<FileNotFoundException>(() => ModelShape.Load("gpt-9")).Message);

    [Fact]
    public void A_plot_is_well_formed_whatever_is_in_it()
    {
        SvgPlot plot = new()
        {
            Title = "a < b & \"c\"",
            XLabel = "x",
            YLabel = "y",
            IsXLogarithmic = true,
            IsYLogarithmic = true,
            Series = [new PlotSeries("<s>", [(1, 0.1), (2, double.NaN), (4, 1000)]), new PlotSeries("empty", [])],
        };
        XElement svg = XDocument.Parse(plot.Render()).Root!;
        Assert.Equal("svg", svg.Name.LocalName);
        Assert.Equal(2, svg.Elements().Count(e => e.Name.LocalName == "circle"));
        Assert.DoesNotContain("NaN", plot.Render());
    }

    [Fact]
    public void The_clock_moves_only_when_it_is_paid_and_has_no_timers()
    {
        SimClock clock = new();
        long start = clock.GetTimestamp();
        Assert.Equal(start, clock.GetTimestamp());
        clock.Advance(0.25);
        Assert.Equal(TimeSpan.FromSeconds(0.25), clock.GetElapsedTime(start));
        Assert.Equal(DateTimeOffset.UnixEpoch.AddSeconds(0.25), clock.GetUtcNow());
        Assert.Throws<NotSupportedException>(() => clock.CreateTimer(_ => { }, null, TimeSpan.Zero, TimeSpan.Zero));
    }

    private static Scenario Setting(string policy) => new() { Model = Opt13, Gpu = A100, Policy = ServingPolicies.Parse(policy)!.Value };

    private static RunResult Simulate(string policy, Workload workload, double rate, double duration) =>
        Simulator.Run(Setting(policy), workload.Poisson(rate, duration, 1), new RunLimits(duration));

    /// <summary>Orca with a list of running requests that are all looked at in every step, and a flag per slot for memory.</summary>
    private static class NaiveOrca
    {
        public static double NormalisedLatency(Scenario scenario, IReadOnlyList<TraceRequest> requests)
        {
            CostModel costs = scenario.Costs();
            BuddyAllocator memory = new(scenario.Slots);
            List<(int Request, int Done, List<(int Address, int Slots)> Chunks)> running = [];
            double now = 0, sum = 0;
            int next = 0;
            while (next < requests.Count || running.Count > 0)
            {
                if (running.Count == 0 && requests[next].Arrival > now)
                    now = requests[next].Arrival;
                int decodes = running.Count * scenario.Width;
                double kv = running.Sum(r => (double)scenario.Width * (requests[r.Request].Input + r.Done));
                double prompt = 0, pairs = 0;
                while (next < requests.Count && requests[next].Arrival <= now && Take(requests[next]) is List<(int, int)> chunks)
                {
                    prompt += requests[next].Input;
                    pairs += (double)requests[next].Input * requests[next].Input;
                    running.Add((next++, 0, chunks));
                }
                now += (prompt > 0 ? costs.Pass(0, 0, prompt, pairs) : 0) + (decodes > 0 ? costs.Pass(decodes, kv, 0, 0) : 0);
                for (int i = running.Count - 1; i >= 0; i--)
                {
                    running[i] = running[i] with { Done = running[i].Done + 1 };
                    TraceRequest request = requests[running[i].Request];
                    if (running[i].Done < request.Output)
                        continue;
                    sum += (now - request.Arrival) / request.Output;
                    running[i].Chunks.ForEach(c => memory.Free(c.Address, c.Slots));
                    running.RemoveAt(i);
                }
            }
            return sum / requests.Count;

            List<(int, int)>? Take(TraceRequest request)
            {
                int slots = scenario.Policy switch
                {
                    ServingPolicy.OrcaMax => 2048,
                    ServingPolicy.OrcaPow2 => Math.Min(2048, request.Input + BuddyAllocator.ChunkFor(request.Output)),
                    _ => request.Total,
                };
                if ((running.Count + 1) * scenario.Width > 256)
                    return null;
                List<(int Address, int Slots)> taken = [];
                for (int i = 0; i < scenario.Width; i++)
                {
                    if (memory.TryTake(slots, out int address))
                    {
                        taken.Add((address, slots));
                        continue;
                    }
                    taken.ForEach(c => memory.Free(c.Address, c.Slots));
                    return null;
                }
                return taken;
            }
        }
    }
}
