using System.Text;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Clients that leave requests of several sequences at any moment: nothing is left behind.</summary>
public sealed class ChoiceCancelTests
{
    private const int Leaves = 10_000;
    private const int RequestsMax = 10 * Leaves;
    private const int Clients = 48;

    /// <summary>A small pool, so that requests also leave while they wait, are preempted or are swapped out.</summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 64)]
    public async Task Ten_thousand_clients_that_leave_leave_the_pool_as_it_was(bool isAsync, int hostBlocks)
    {
        await using TestServer server = await TestServer.CreateAsync(
            new ServerOptions { Port = 0 },
            info => info with
            {
                BlockCount = 72,
                MaxSequences = 32,
                MaxBatchedTokens = 96,
                IsAsync = isAsync,
                HostBlockCount = hostBlocks,
                BlockBytes = 4096,
            },
            new EngineOptions { ModelPath = "none", MaxQueuedRequests = 1000, MaxQueuedTokens = 1_000_000, PreemptionMode = PreemptionMode.Swap });
        await server.AssertUnharmedAsync();
        server.Executor.StepTime = TimeSpan.FromMilliseconds(1); // most answers take longer than most clients stay
        int next = 0, ended = 0, left = 0;
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async client =>
        {
            Random random = new(client);
            while (Volatile.Read(ref left) < Leaves && Interlocked.Increment(ref next) <= RequestsMax)
                if (await AskAndLeaveAsync(server, random))
                    Interlocked.Increment(ref ended);
                else
                    Interlocked.Increment(ref left);
        }));
        Assert.True(left >= Leaves && ended > 0, $"{left} left, {ended} ended");
        server.Executor.StepTime = TimeSpan.Zero;
        await server.AssertUnharmedAsync();
        Dictionary<string, double> series = await server.GaugesAsync();
        Assert.Equal(0, series["nativelm:host_blocks_used"]);
        Assert.Equal(0, series["nativelm:kv_blocks_shared"]);
        Assert.Equal(0, series["nativelm:queue_tokens"]);
        Assert.True(series["vllm:num_preemptions_total"] > 0);
        Assert.Equal(hostBlocks > 0, series["nativelm:swap_bytes_total"] > 0);
        Assert.Equal(0, series["nativelm:invariant_failures_total"]);
    }

    /// <summary>Whether the answer came before the client left.</summary>
    private static async Task<bool> AskAndLeaveAsync(TestServer server, Random random)
    {
        string prompt = new((char)('a' + random.Next(4)), random.Next(1, 120));
        string kind = random.Next(4) switch
        {
            0 => $"\"n\":{random.Next(1, 8)},\"stream\":true",
            1 => $"\"n\":{random.Next(1, 8)},\"stop\":[\"fox\",\"the \"]",
            2 => $"\"n\":2,\"best_of\":{random.Next(2, 8)}",
            _ => $"\"n\":{random.Next(2, 8)},\"use_beam_search\":true",
        };
        string body = $$"""{"prompt":"{{prompt}}","max_tokens":{{random.Next(1, 120)}},{{kind}}}""";
        using CancellationTokenSource stop = new(TimeSpan.FromMilliseconds(random.Next(1, 60)));
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        try
        {
            using HttpResponseMessage response = await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop.Token);
            string text = await response.Content.ReadAsStringAsync(stop.Token);
            Assert.True(response.IsSuccessStatusCode, text);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        catch (HttpRequestException)
        {
            return false; // the connection went with another request's
        }
    }
}
