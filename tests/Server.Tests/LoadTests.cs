using System.Diagnostics;
using System.Net;
using System.Text;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Clients that leave, stall or come in crowds; health and shutdown.</summary>
public sealed class LoadTests
{
    private const string Endless = """{"prompt":"endless","max_tokens":2000,"ignore_eos":true,"stream":true}""";

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_client_that_leaves_frees_its_place_and_blocks(bool stream, bool reset)
    {
        await using TestServer server = await StartSlowAsync();
        string body = Endless.Replace("\"stream\":true", $"\"stream\":{(stream ? "true" : "false")}", StringComparison.Ordinal);
        RawConnection connection = new(server.Address);
        connection.Send($"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await WaitForAsync(server, "vllm:num_requests_running", 1);
        if (reset)
            connection.Reset();
        else
            connection.Dispose();
        long start = Stopwatch.GetTimestamp();
        await server.AssertIdleAsync();
        Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 1);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Two_hundred_cancelled_requests_leave_nothing_behind()
    {
        await using TestServer server = await StartSlowAsync();
        Random random = new(3);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            using CancellationTokenSource stop = new(random.Next(1, 120));
            try
            {
                using HttpRequestMessage request = new(HttpMethod.Post, i % 2 == 0 ? "/v1/completions" : "/v1/chat/completions")
                {
                    Content = new StringContent(
                        i % 2 == 0 ? Endless : """{"messages":[{"role":"user","content":"hi"}],"max_tokens":900,"stream":true}""", Encoding.UTF8, "application/json"),
                };
                using HttpResponseMessage response = await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop.Token);
                await response.Content.CopyToAsync(Stream.Null, stop.Token);
            }
            catch (OperationCanceledException)
            {
                // As intended.
            }
        }));
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_reader_that_never_reads_is_cut_off_and_delays_nobody()
    {
        await using TestServer server = await TestServer.CreateAsync(
            new ServerOptions { Port = 0, Limits = new RequestLimits { RateGrace = TimeSpan.FromSeconds(1.2) } },
            static info => info with { MaxModelLength = 200_000, BlockCount = 20_000 });
        using RawConnection stuck = new(server.Address);
        stuck.Socket.ReceiveBufferSize = 4096;
        string body = Endless.Replace("2000", "100000", StringComparison.Ordinal);
        stuck.Send($"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await server.AskAsync("/v1/completions", """{"prompt":"other","max_tokens":50}""");
        for (int tries = 0; (await server.GaugesAsync())["vllm:num_requests_running"] > 0; tries++)
        {
            Assert.True(tries < 500, "the stuck stream still runs");
            await Task.Delay(20);
        }
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_full_queue_is_429_with_a_time_to_come_back()
    {
        await using TestServer server = await TestServer.CreateAsync(
            new ServerOptions { Port = 0 }, static info => info with { MaxSequences = 2 },
                new EngineOptions { ModelPath = "none", MaxQueuedRequests = 2 });
        server.Executor.StepTime = TimeSpan.FromMilliseconds(5);
        HttpResponseMessage[] answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => server.PostAsync("/v1/completions", """{"prompt":"crowd","max_tokens":20}""")));
        Assert.Contains(answers, static a => a.StatusCode == HttpStatusCode.OK);
        HttpResponseMessage[] refused = [.. answers.Where(static a => a.StatusCode != HttpStatusCode.OK)];
        Assert.NotEmpty(refused);
        foreach (HttpResponseMessage answer in refused)
        {
            Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode);
            Assert.True(answer.Headers.RetryAfter!.Delta!.Value.TotalSeconds >= 1);
            await TestServer.AssertErrorAsync(answer, "queue_full");
        }
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Neighbours_change_no_text()
    {
        await using TestServer server = await TestServer.CreateAsync(new ServerOptions { Port = 0 });
        const string Body = """{"prompt":"mine","max_tokens":120,"temperature":0}""";
        string alone = Text(await server.AskAsync("/v1/completions", Body));
        Task<System.Text.Json.JsonElement>[] tasks = [.. Enumerable.Range(0, 96).Select(i =>
            server.AskAsync("/v1/completions", i % 3 == 0 ? Body : $$"""{"prompt":"{{new string((char)('a' + (i % 26)), 1 + (i * 7))}}","max_tokens":{{1 + i}}}"""))];
        System.Text.Json.JsonElement[] answers = await Task.WhenAll(tasks);
        Assert.All(answers.Where(static (_, i) => i % 3 == 0), a => Assert.Equal(alone, Text(a)));
        await server.AssertUnharmedAsync();

        static string Text(System.Text.Json.JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("text").GetString()!;
    }

    [Fact]
    public async Task Silence_is_filled_with_comments()
    {
        await using TestServer server =
            await TestServer.CreateAsync(new ServerOptions { Port = 0, KeepAliveInterval = TimeSpan.FromMilliseconds(50) });
        server.Executor.StepTime = TimeSpan.FromMilliseconds(200);
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", """{"prompt":"quiet","max_tokens":3,"stream":true}""");
        string text = await response.Content.ReadAsStringAsync();
        Assert.StartsWith(": keep-alive\n\n", text, StringComparison.Ordinal);
        Assert.EndsWith("data: [DONE]\n\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Health_answers_fast_while_the_engine_is_busy()
    {
        await using TestServer server = await StartSlowAsync();
        Task<HttpResponseMessage>[] load = [.. Enumerable.Range(0, 64).Select(_ => server.PostAsync("/v1/completions", """{"prompt":"busy","max_tokens":100}"""))];
        for (int i = 0; i < 20; i++)
        {
            long start = Stopwatch.GetTimestamp();
            using HttpResponseMessage response = await server.Http.GetAsync("/health");
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.True(Stopwatch.GetElapsedTime(start).TotalMilliseconds < 1000);
        }
        await Task.WhenAll(load);
    }

    [Fact]
    public async Task A_server_that_loads_says_so()
    {
        await using ServerHost host = await ServerHost.StartAsync(new ServerOptions { Port = 0 });
        using HttpClient http = new() { BaseAddress = host.Address };
        using HttpResponseMessage ready = await http.GetAsync("/health");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Equal("""{"status":"loading"}""", await ready.Content.ReadAsStringAsync());
        using HttpResponseMessage live = await http.GetAsync("/health?probe=live");
        Assert.Equal(HttpStatusCode.OK, live.StatusCode);
        using HttpResponseMessage models = await http.GetAsync("/v1/models");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, models.StatusCode);
        Assert.True(models.Headers.RetryAfter!.Delta!.Value.TotalSeconds >= 1);
        await TestServer.AssertErrorAsync(models, "loading");
        await host.StopAsync(TimeSpan.Zero);
    }

    [Fact]
    public async Task Draining_turns_readiness_first_and_finishes_what_runs()
    {
        await using TestServer server = await StartSlowAsync();
        Task<HttpResponseMessage> running = server.PostAsync("/v1/completions", """{"prompt":"running","max_tokens":60,"stream":true}""");
        await WaitForAsync(server, "vllm:num_requests_running", 1);
        server.Host.Engine.BeginDraining();
        using HttpResponseMessage health = await server.Http.GetAsync("/health");
        Assert.Equal("""{"status":"draining"}""", await health.Content.ReadAsStringAsync());
        LlmEngine engine = server.Host.Engine.RequireLoaded().Engine;
        Task drained = engine.DrainAsync(TimeSpan.FromSeconds(20)).AsTask();
        using HttpResponseMessage late = await server.PostAsync("/v1/completions", """{"prompt":"late"}""");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, late.StatusCode);
        Assert.EndsWith("data: [DONE]\n\n", await (await running).Content.ReadAsStringAsync(), StringComparison.Ordinal);
        await drained;
    }

    [Fact]
    public async Task A_stream_cut_by_shutdown_ends_with_an_error_event()
    {
        await using TestServer server = await StartSlowAsync();
        Task<HttpResponseMessage> running = server.PostAsync("/v1/completions", Endless);
        await WaitForAsync(server, "vllm:generation_tokens_total", 3);
        server.Host.Engine.BeginDraining();
        await server.Host.Engine.RequireLoaded().Engine.DrainAsync(TimeSpan.Zero);
        string text = await (await running).Content.ReadAsStringAsync();
        Assert.Contains("\"code\":\"shutting_down\"", text, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", text, StringComparison.Ordinal);
    }

    private static async Task<TestServer> StartSlowAsync()
    {
        TestServer server = await TestServer.CreateAsync(new ServerOptions { Port = 0 });
        server.Executor.StepTime = TimeSpan.FromMilliseconds(2);
        return server;
    }

    private static async Task WaitForAsync(TestServer server, string gauge, double least)
    {
        for (int tries = 0; (await server.GaugesAsync())[gauge] < least; tries++)
        {
            Assert.True(tries < 500, $"{gauge} never reached {least}");
            await Task.Delay(5);
        }
    }
}
