using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using NativeLM.Server.CommandLine;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>The program as a process: one clear line for every mistake, and signals.</summary>
public sealed class CommandLineTests
{
    [Theory]
    [InlineData(2, "--bogus", "serve", "--bogus")]
    [InlineData(2, "not found", "serve", "/no/such/folder")]
    [InlineData(2, "--dtype", "serve", "--dtype", "int3")]
    [InlineData(2, "--block-size", "serve", ".", "--block-size", "7")]
    [InlineData(2, "--kv-cache-memory", "serve", ".", "--kv-cache-memory", "much")]
    [InlineData(2, "--max-model-len", "serve", ".", "--max-model-len", "0")]
    [InlineData(2, "--port", "serve", ".", "--port", "99999")]
    [InlineData(2, "API key", "serve", ".", "--host", "0.0.0.0")]
    [InlineData(2, "--max-n", "serve", ".", "--max-n", "129")]
    [InlineData(2, "--max-n", "serve", ".", "--max-n", "0")]
    [InlineData(2, "--swap-space", "serve", ".", "--swap-space", "-1")]
    [InlineData(2, "--swap-space", "serve", ".", "--swap-space", "NaN")]
    [InlineData(2, "--preemption-mode", "serve", ".", "--preemption-mode", "kill")]
    [InlineData(2, "--scheduling-policy", "serve", ".", "--scheduling-policy", "random")]
    [InlineData(2, "--default-deadline-ms", "serve", ".", "--default-deadline-ms", "0")]
    [InlineData(2, "--max-overtakes", "serve", ".", "--max-overtakes", "-1")]
    [InlineData(2, "--num-gpu-blocks-override", "serve", ".", "--num-gpu-blocks-override", "0")]
    [InlineData(2, "needed one", "serve", ".", "--enable-prefix-caching", "--no-enable-prefix-caching")]
    [InlineData(2, "NAME=FILE", "serve", ".", "--shared-prefix", "nameless")]
    [InlineData(2, "cannot be read", "serve", ".", "--shared-prefix", "a=/no/such/file")]
    [InlineData(2, "--api-key-file", "serve", ".", "--api-key-file", "/no/such/file")]
    [InlineData(2, "never run", "serve", "--trust-remote-code")]
    [InlineData(2, "twice", "serve", ".", "--model", ".")]
    [InlineData(2, "config.json", "serve", ".", "--port", "0")]
    [InlineData(2, "not an address", "serve", ".", "--host", "no.such.host.invalid", "--api-key", "k")]
    [InlineData(2, "--request-rate", "bench", "serve", "--request-rate", "0")]
    [InlineData(1, "127.0.0.1:1", "bench", "serve", "--base-url", "http://127.0.0.1:1")]
    [InlineData(2, "orca-max", "simulate", "--policy", "orca")]
    [InlineData(2, "--block-size", "simulate", "--rate", "1", "--block-size", "0")]
    [InlineData(2, "exclude", "simulate", "--rate", "1", "--n", "2", "--beam", "4")]
    [InlineData(2, "--find-rate", "simulate", "--rate", "1", "--find-rate")]
    [InlineData(2, "no arrivals", "simulate", "--trace", "sharegpt")]
    [InlineData(2, "neither a trace nor a file", "simulate", "--rate", "1", "--trace", "no-such-trace")]
    [InlineData(2, "opt-13b", "simulate", "--rate", "1", "--model", "no-such-model")]
    [InlineData(2, "--prefix-cache", "simulate", "--rate", "1", "--prefix-cache", "maybe")]
    [InlineData(2, "--traces", "simulate", "--paper", "--traces", "/no/such/folder")]
    [InlineData(2, "command", "no-such-command")]
    public async Task A_mistake_is_one_line_on_stderr(int code, string words, params string[] arguments)
    {
        using Process process = Start(arguments);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(code, process.ExitCode);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("nativelm: ", line, StringComparison.Ordinal);
        Assert.Contains(words, line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_is_said_at_once()
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;
        long start = Stopwatch.GetTimestamp();
        using Process process = Start("serve", ".", "--port", $"{port}");
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(1, process.ExitCode);
        Assert.Contains($"127.0.0.1:{port} is in use", Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)),
            StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 5);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("serve", "--help")]
    [InlineData("generate", "--help")]
    [InlineData("chat", "--help")]
    [InlineData("simulate", "--help")]
    [InlineData("bench", "serve", "--help")]
    [InlineData("bench", "throughput", "--help")]
    [InlineData("bench", "latency", "--help")]
    public async Task Help_teaches_with_examples(params string[] arguments)
    {
        using Process process = Start(arguments);
        string text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("Examples:", text, StringComparison.Ordinal);
        Assert.Contains("nativelm " + string.Join(' ', arguments.SkipLast(1)), text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("512M", 512L << 20)]
    [InlineData("4GiB", 4L << 30)]
    [InlineData("1.5g", 3L << 29)]
    [InlineData("1000", 1000)]
    [InlineData("2 KB", 2048)]
    public void Sizes_are_read_as_people_write_them(string text, long expected)
    {
        Assert.True(ByteSize.TryParse(text, out long bytes));
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-5")]
    [InlineData("0")]
    [InlineData("4X")]
    [InlineData("999999999999999999999999T")]
    [InlineData("1.2.3M")]
    public void What_is_no_size_is_refused(string text) => Assert.False(ByteSize.TryParse(text, out _));

    /// <summary>The built program, with its output captured.</summary>
    internal static Process Start(params string[] arguments) => Start(arguments, environment: null);

    /// <summary>The program, with one variable of its environment set.</summary>
    internal static Process Start(string[] arguments, (string Name, string Value)? environment)
    {
        string program = Path.Combine(TestData.ProjectRoot, "artifacts", "dotnet", "bin", "NativeLM.Server", "release", "nativelm.dll");
        ProcessStartInfo start = new("dotnet", [program, .. arguments])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        if (environment is var (name, value))
            start.Environment[name] = value;
        return Process.Start(start)!;
    }
}
