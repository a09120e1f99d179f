using System.Diagnostics;
using System.Net;
using System.Text.Json;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>The serving process with the flags of memory, scheduling and keys: they reach the engine.</summary>
public sealed class ServeFlagsTests : IDisposable
{
    private static readonly string Prefix = string.Concat(Enumerable.Repeat("Once upon a time there was a little dog. ", 12));
    private readonly string _folder = Directory.CreateTempSubdirectory("nativelm-serve").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Prefixes_of_the_start_are_kept_for_every_key_and_limits_hold()
    {
        string keys = Path.Combine(_folder, "keys"), prefix = Path.Combine(_folder, "prefix.txt");
        await File.WriteAllTextAsync(keys, "ann ann-key 2\nbob bob-key\n");
        await File.WriteAllTextAsync(prefix, Prefix);
        using Process process = CommandLineTests.Start(
            "serve", TestData.Require("models/stories260K"), "--port", "0", "--dtype", "float32", "--kv-cache-memory", "16M", "--shutdown-grace", "0",
            "--api-key-file", keys, "--shared-prefix", $"story={prefix}", "--enable-prefix-registration", "--max-n", "4",
            "--scheduling-policy", "priority", "--swap-space", "0.01", "--preemption-mode", "swap", "--prefix-hash-seed", "5", "--default-deadline-ms", "60000");
        using HttpClient http = new() { BaseAddress = await SignalTests.AddressAsync(process) };
        foreach (string key in (string[])["ann-key", "bob-key"])
        {
            http.DefaultRequestHeaders.Authorization = new("Bearer", key);
            using JsonDocument list = JsonDocument.Parse(await http.GetStringAsync("/nativelm/prefixes"));
            JsonElement card = Assert.Single(list.RootElement.GetProperty("data").EnumerateArray());
            Assert.Equal("story", card.GetProperty("name").GetString());
            int blocks = card.GetProperty("blocks").GetInt32();
            Assert.True(blocks >= 4);
            using JsonDocument answer = JsonDocument.Parse(await AskAsync(http, $$"""{"prompt":"{{Prefix}} Then","max_tokens":4,"n":4,"priority":-1}""", 200));
            int cached = answer.RootElement.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
            Assert.InRange(cached, (blocks - 1) * 16, blocks * 16);
            Assert.Contains("1 to 4", await AskAsync(http, """{"prompt":"a","n":5}""", 400), StringComparison.Ordinal);
        }
        string metrics = await http.GetStringAsync("/metrics");
        Assert.Matches(@"key_name=""ann""\} [1-9]", metrics);
        Assert.Matches(@"key_name=""bob""\} [1-9]", metrics);
        SignalTests.Send(process, "TERM");
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public async Task A_prefix_without_a_full_block_is_one_line_at_start()
    {
        string prefix = Path.Combine(_folder, "short.txt");
        await File.WriteAllTextAsync(prefix, "Hi");
        using Process process = CommandLineTests.Start(
            "serve", TestData.Require("models/stories260K"), "--port", "0", "--kv-cache-memory", "16M", "--shared-prefix", $"short={prefix}");
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.NotEqual(0, process.ExitCode);
        Assert.Contains("needed at least one KV block", error.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Generate_writes_several_outputs_and_beams()
    {
        string model = TestData.Require("models/stories260K");
        string three = await OutputAsync("generate", model, "-p", "Once upon", "--n", "3", "--max-tokens", "8", "--sample-seed", "1");
        Assert.Contains("--- 3 of 3 ---", three, StringComparison.Ordinal);
        string beams = await OutputAsync("generate", model, "-p", "Once upon", "--beam-width", "4", "--n", "2", "--max-tokens", "8");
        Assert.Matches(@"--- 1 of 2, score -0\.\d{3} ---", beams);
        Assert.DoesNotContain("--- 3", beams, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--n", "--n", "0")]
    [InlineData("--n", "--n", "3", "--beam-width", "2")]
    [InlineData("--beam-width", "--beam-width", "1")]
    [InlineData("--length-penalty", "--beam-width", "2", "--length-penalty", "11")]
    [InlineData("--stop", "--beam-width", "2", "--stop", "x")]
    public async Task Generate_refuses_widths_out_of_range(string words, params string[] flags)
    {
        using Process process = CommandLineTests.Start(["generate", TestData.Require("models/stories260K"), "-p", "Once", .. flags]);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(2, process.ExitCode);
        Assert.Contains(words, error, StringComparison.Ordinal);
    }

    private static async Task<string> OutputAsync(params string[] arguments)
    {
        using Process process = CommandLineTests.Start(arguments);
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    private static async Task<string> AskAsync(HttpClient http, string body, int status)
    {
        using StringContent content = new(body, null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True((HttpStatusCode)status == response.StatusCode, text);
        return text;
    }
}
