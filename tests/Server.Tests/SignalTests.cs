using System.Diagnostics;
using System.Net;
using NativeLM.Interop;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>The serving process with the demo model: starts, stops in order on a signal, stops at once on the second.</summary>
public sealed class SignalTests
{
    private const string Long = """{"prompt":"Once upon a time","max_tokens":150,"ignore_eos":true,"stream":true}""";

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    [InlineData("HUP")]
    public async Task An_idle_server_exits_0(string signal)
    {
        Assert.SkipWhen(signal == "HUP" && IgnoresHangup(), "this run was started with hangups ignored (nohup), and so is every server it starts");
        using Process process = Serve("--shutdown-grace", "0");
        using HttpClient http = new() { BaseAddress = await AddressAsync(process) };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/health")).StatusCode);
        Send(process, signal);
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public async Task A_signal_turns_readiness_first_and_running_streams_finish()
    {
        using Process process = Serve("--shutdown-grace", "1");
        using HttpClient http = new() { BaseAddress = await AddressAsync(process) };
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions") { Content = new StringContent(Long, null, "application/json") };
        using HttpResponseMessage stream = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Send(process, "TERM");
        HttpStatusCode status = HttpStatusCode.OK;
        for (int tries = 0; tries < 100 && status == HttpStatusCode.OK; tries++)
        {
            using HttpResponseMessage health = await http.GetAsync("/health");
            status = health.StatusCode;
        }
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.EndsWith("data: [DONE]\n\n", await stream.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public async Task A_second_signal_stops_at_once()
    {
        using Process process = Serve("--shutdown-grace", "60");
        await AddressAsync(process);
        Send(process, "TERM");
        await Task.Delay(200);
        Send(process, "TERM");
        long start = Stopwatch.GetTimestamp();
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
        Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 10);
    }

    [Theory]
    [InlineData("MiB|bytes|memory", "--kv-cache-memory", "1K")]
    [InlineData("cuda|CUDA|GPU", "--device", "cuda")]
    public async Task What_the_machine_lacks_is_one_line(string words, params string[] flags)
    {
        using Process process = Serve(flags);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.NotEqual(0, process.ExitCode);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(words.Split('|'), word => line.Contains(word, StringComparison.Ordinal));
    }

    /// <summary>Only a new process helps then, and a supervisor starts it when this one ends.</summary>
    [Fact]
    public async Task A_server_that_loses_its_device_ends_its_streams_and_itself_with_an_error()
    {
        RequireEmulator();
        using Process process = CommandLineTests.Start(
            ["serve", TestData.Require("models/stories260K"), "--port", "0", "--device", "emulated", "--dtype", "float32", "--max-num-seqs", "2",
                "--max-num-batched-tokens", "32", "--cuda-graphs", "on", "--async-scheduling", "on"],
            ("NATIVELM_EMULATOR", "streams=deferred;fault=launch:2000"));
        using HttpClient http = new() { BaseAddress = await AddressAsync(process) };
        using HttpResponseMessage stream = await http.PostAsync("/v1/completions", new StringContent(Long, null, "application/json"));
        string events = await stream.Content.ReadAsStringAsync();
        Assert.Contains("\"error\"", events, StringComparison.Ordinal);
        Assert.DoesNotContain("\"finish_reason\":\"stop\"", events, StringComparison.Ordinal);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("lost", error, StringComparison.Ordinal);
    }

    /// <summary>A process inherits what its parent ignores; signal 1 is the lowest bit of the mask.</summary>
    private static bool IgnoresHangup()
    {
        string mask = File.ReadLines("/proc/self/status").First(line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
        return (Convert.ToUInt64(mask["SigIgn:".Length..].Trim(), 16) & 1) != 0;
    }

    private static void RequireEmulator()
    {
        try
        {
            NativeLibraryLoader.Load(Backend.Emulated);
        }
        catch (NativeLoadException absent)
        {
            Assert.Skip(absent.Message);
        }
    }

    private static Process Serve(params string[] flags) =>
        CommandLineTests.Start(["serve", Path.Combine(TestData.ProjectRoot, "models", "demo"), "--port", "0", .. flags]);

    /// <summary>Where it serves, from the line it prints when it is ready.</summary>
    internal static async Task<Uri> AddressAsync(Process process)
    {
        while (await process.StandardOutput.ReadLineAsync() is string line)
            if (line.StartsWith("serving", StringComparison.Ordinal))
                return new Uri(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        Assert.Fail($"the server never served: {await process.StandardError.ReadToEndAsync()}");
        return null!;
    }

    internal static void Send(Process process, string signal) => Process.Start("kill", [$"-{signal}", $"{process.Id}"])!.WaitForExit();
}
