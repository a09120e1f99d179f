using System.Net;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Http;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Deadlines, priorities, and bounded queues: who waits, who is refused, and in which words.</summary>
public sealed class OverloadTests
{
    private const string Path = "/v1/completions";
    private static readonly TimeSpan SlowStep = TimeSpan.FromMilliseconds(10);

    [Theory]
    [InlineData("")]
    [InlineData(",\"n\":3")]
    [InlineData(",\"n\":2,\"best_of\":4")]
    [InlineData(",\"n\":3,\"use_beam_search\":true")]
    public async Task A_request_past_its_deadline_is_408(string options)
    {
        await using TestServer server = await StartAsync(SlowStep);
        using HttpResponseMessage response = await server.PostAsync(Path, $$"""{"prompt":"late","max_tokens":1500,"deadline_ms":150{{options}}}""");
        Assert.Equal(HttpStatusCode.RequestTimeout, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "deadline_exceeded", "deadline_ms");
        Assert.Contains("nativelm:deadline_exceeded_total", await server.Http.GetStringAsync("/metrics"), StringComparison.Ordinal);
        Assert.Equal(1, (await server.GaugesAsync())["nativelm:deadline_exceeded_total"]);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_request_that_waits_past_its_deadline_is_408_too()
    {
        await using TestServer server = await StartAsync(SlowStep, null, static info => info with { MaxSequences = 1 });
        Task<JsonElement> running = server.AskAsync(Path, """{"prompt":"long","max_tokens":200}""");
        await WaitAsync(server, "vllm:num_requests_running", 1);
        using HttpResponseMessage response = await server.PostAsync(Path, """{"prompt":"short","max_tokens":1,"deadline_ms":100}""");
        Assert.Equal(HttpStatusCode.RequestTimeout, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "deadline_exceeded", "deadline_ms");
        Assert.Equal("length", (await running).GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_stream_past_its_deadline_ends_with_an_error_event()
    {
        await using TestServer server = await StartAsync(SlowStep);
        List<string> events = await server.StreamAsync(Path, """{"prompt":"late","max_tokens":1500,"n":2,"deadline_ms":1000,"stream":true}""");
        JsonElement error = JsonDocument.Parse(events[^1]).RootElement.GetProperty("error");
        Assert.Equal("deadline_exceeded", error.GetProperty("code").GetString());
        Assert.DoesNotContain(events, static e => e.Contains("\"length\"", StringComparison.Ordinal) || e == "[DONE]");
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task The_servers_deadline_holds_where_the_request_names_none()
    {
        await using TestServer server = await StartAsync(SlowStep, new EngineOptions { ModelPath = "none", DefaultDeadline = TimeSpan.FromMilliseconds(100) });
        using HttpResponseMessage late = await server.PostAsync(Path, """{"prompt":"late","max_tokens":1500}""");
        Assert.Equal(HttpStatusCode.RequestTimeout, late.StatusCode);
        await server.AskAsync(Path, """{"prompt":"in time","max_tokens":15,"deadline_ms":20000}""");
    }

    [Fact]
    public async Task A_deadline_that_cannot_be_met_is_429_at_once()
    {
        await using TestServer server = await StartAsync(SlowStep, null, static info => info with { MaxSequences = 2, MaxBatchedTokens = 32 });
        await server.AskAsync(Path, """{"prompt":"how fast is it","max_tokens":20}""");
        string longPrompt = new('w', 1500);
        Task<HttpResponseMessage>[] waiting = [.. Enumerable.Range(0, 6).Select(_ =>
            server.PostAsync(Path, $$"""{"prompt":"{{longPrompt}}","max_tokens":50,"deadline_ms":60000}"""))];
        await WaitAsync(server, "vllm:num_requests_waiting", 4);
        using HttpResponseMessage response = await server.PostAsync(Path, $$"""{"prompt":"{{longPrompt}}","deadline_ms":20}""");
        Assert.Equal(HttpStatusCode.TooManyRequests, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "deadline_unreachable");
        Assert.True(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds >= 1);
        foreach (HttpResponseMessage one in await Task.WhenAll(waiting))
            one.Dispose();
    }

    [Fact]
    public async Task A_full_queue_is_429_and_says_when_to_come_back()
    {
        await using TestServer server = await StartAsync(SlowStep, new EngineOptions { ModelPath = "none", MaxQueuedRequests = 2 },
            static info => info with { MaxSequences = 1 });
        Task<HttpResponseMessage>[] all = [.. Enumerable.Range(0, 8).Select(_ => server.PostAsync(Path, """{"prompt":"crowd","max_tokens":250}"""))];
        int refused = 0;
        foreach (HttpResponseMessage response in await Task.WhenAll(all))
        {
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
            {
                refused++;
                await TestServer.AssertErrorAsync(response, "queue_full");
                Assert.True(response.Headers.RetryAfter!.Delta!.Value.TotalSeconds >= 1);
            }
            else
            {
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            }
            response.Dispose();
        }
        Assert.InRange(refused, 3, 6);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task One_keys_crowd_leaves_room_for_another_key()
    {
        EngineOptions engine = new()
        {
            ModelPath = "none",
            MaxQueuedRequests = 8,
            MaxQueuedRequestsPerKey = 3,
            KeyWeights = new Dictionary<string, double> { ["crowd"] = 1, ["other"] = 1 },
        };
        await using TestServer server = await TestServer.CreateAsync(
            new ServerOptions { Port = 0, ApiKeys = [new ApiKey("crowd", "crowd-key"), new ApiKey("other", "other-key")] },
            static info => info with { MaxSequences = 1 }, engine);
        server.Executor.StepTime = SlowStep;
        Task<HttpResponseMessage>[] crowd = [.. Enumerable.Range(0, 8).Select(_ => AskAsync(server, "crowd-key"))];
        await Task.Delay(200);
        using HttpResponseMessage other = await AskAsync(server, "other-key");
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
        HttpResponseMessage[] answers = await Task.WhenAll(crowd);
        HttpResponseMessage[] refused = [.. answers.Where(static a => a.StatusCode == HttpStatusCode.TooManyRequests)];
        Assert.InRange(refused.Length, 3, 5);
        foreach (HttpResponseMessage one in refused)
        {
            await TestServer.AssertErrorAsync(one, "key_queue_full");
            Assert.True(one.Headers.RetryAfter!.Delta!.Value.TotalSeconds >= 1);
        }
        server.Http.DefaultRequestHeaders.Authorization = new("Bearer", "other-key");
        string metrics = await server.Http.GetStringAsync("/metrics");
        Assert.Matches(@"nativelm:key_served_tokens_total\{[^}]*key_name=""other""\} [1-9]", metrics);
        Assert.Matches(@"nativelm:key_served_tokens_total\{[^}]*key_name=""crowd""\} [1-9]", metrics);
        Assert.DoesNotContain("crowd-key", metrics, StringComparison.Ordinal);
        foreach (HttpResponseMessage one in answers)
            one.Dispose();
    }

    [Fact]
    public async Task Under_the_priority_policy_the_lower_value_is_served_first()
    {
        await using TestServer server = await StartAsync(SlowStep, new EngineOptions { ModelPath = "none", SchedulingPolicy = SchedulingPolicy.Priority },
            static info => info with { MaxSequences = 1 });
        List<string> order = [];
        Task running = EndAsync("running", 0);
        await WaitAsync(server, "vllm:num_requests_running", 1);
        Task late = EndAsync("late", 5);
        await WaitAsync(server, "vllm:num_requests_waiting", 1);
        Task urgent = EndAsync("urgent", -5);
        await Task.WhenAll(running, late, urgent);
        Assert.True(order.IndexOf("urgent") < order.IndexOf("late"), string.Join(", ", order));

        async Task EndAsync(string prompt, int priority)
        {
            await server.AskAsync(Path, $$"""{"prompt":"{{prompt}}","max_tokens":40,"priority":{{priority}}}""");
            lock (server)
                order.Add(prompt);
        }
    }

    private static async Task<HttpResponseMessage> AskAsync(TestServer server, string key)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, Path)
        {
            Content = new StringContent("""{"prompt":"mine","max_tokens":80}""", null, "application/json"),
        };
        request.Headers.Authorization = new("Bearer", key);
        return await server.Http.SendAsync(request);
    }

    private static async Task<TestServer> StartAsync(TimeSpan step, EngineOptions? engine = null, Func<EngineInfo, EngineInfo>? change = null)
    {
        TestServer server = await TestServer.CreateAsync(new ServerOptions { Port = 0 }, change, engine);
        server.Executor.StepTime = step;
        return server;
    }

    private static async Task WaitAsync(TestServer server, string gauge, double least)
    {
        for (int tries = 0; (await server.GaugesAsync())[gauge] < least; tries++)
        {
            Assert.True(tries < 500, $"{gauge} never reached {least}");
            await Task.Delay(5);
        }
    }
}
