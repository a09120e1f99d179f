using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Interop;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>
/// A trained model behind HTTP: its published greedy text, character by character, plain and streamed, alone and in company, whatever the block
/// size and the step budget.
/// </summary>
public sealed class StoriesTests
{
    private const string Request = """{"prompt":[1],"temperature":0,"max_tokens":200""";

    [Theory]
    [InlineData(8, 16)]
    [InlineData(8, 512)]
    [InlineData(16, 16)]
    [InlineData(16, 512)]
    [InlineData(32, 16)]
    [InlineData(32, 512)]
    public async Task The_published_text_comes_out_alone_and_in_company(int blockSize, int stepTokens)
    {
        string folder = TestData.Require("models/stories260K");
        using JsonDocument golden = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "greedy_golden.json")));
        string expected = Golden(golden.RootElement);
        Assert.Equal(464, expected.Length);
        EngineOptions options = new()
        {
            ModelPath = folder,
            Device = DeviceKind.Cpu,
            DType = ModelDType.Float32,
            BlockSize = blockSize,
            MaxSequences = 16,
            MaxBatchedTokens = stepTokens,
            KvCacheMemoryBytes = 64 << 20,
            Threads = 2,
        };
        await using ServerHost host = await ServerHost.StartAsync(new ServerOptions { Port = 0 });
        host.Engine.Attach(LlmEngine.Load(options));
        using HttpClient http = new() { BaseAddress = host.Address };
        Assert.Equal(expected, await PlainAsync(http, Request));
        Assert.Equal(expected, await StreamedAsync(http));
        Task<string>[] neighbours = [.. Enumerable.Range(0, 32).Select(i => PlainAsync(http,
            $$"""{"prompt":"{{string.Join(' ', Enumerable.Repeat("Lily saw a dog", 1 + (i % 9)))}}","temperature":1,"seed":{{i}},"max_tokens":{{20 + (i * 3)}}"""))];
        Assert.Equal(expected, await PlainAsync(http, Request));
        Assert.Equal(expected, await StreamedAsync(http));
        await Task.WhenAll(neighbours);
        await host.StopAsync(TimeSpan.Zero);
    }

    /// <summary>Several choices of a seed: the same whatever the block size, the step budget, the neighbours and the pool, the first as if it were alone.</summary>
    [Fact]
    public async Task Choices_depend_on_their_seed_alone()
    {
        const string Drawn = """{"prompt":"Once upon a time there was a dog","temperature":1,"seed":7,"max_tokens":60,"ignore_eos":true""";
        const string Beams = """{"prompt":"Once upon a time there was a dog","use_beam_search":true,"n":4,"max_tokens":30""";
        string[]? drawn = null, beams = null;
        foreach ((int blockSize, int stepTokens, int blocks) in ((int, int, int)[])[(8, 16, 1000), (16, 512, 1000), (32, 64, 1000), (8, 24, 60)])
        {
            await using ServerHost host = await ServerHost.StartAsync(new ServerOptions { Port = 0 });
            host.Engine.Attach(LlmEngine.Load(new EngineOptions
            {
                ModelPath = TestData.Require("models/stories260K"),
                Device = DeviceKind.Cpu,
                DType = ModelDType.Float32,
                BlockSize = blockSize,
                MaxSequences = 16,
                MaxBatchedTokens = stepTokens,
                BlockCountOverride = blocks,
                SwapSpaceBytes = 8 << 20,
                Threads = 2,
            }));
            using HttpClient http = new() { BaseAddress = host.Address };
            Task<string[]>[] neighbours = [.. Enumerable.Range(0, 10).Select(i => TextsAsync(http,
                $$"""{"prompt":"Lily saw a cat","temperature":1,"n":{{1 + (i % 3)}},"seed":{{i}},"max_tokens":{{20 + (i * 5)}}"""))];
            Task<string[]> four = TextsAsync(http, Drawn + ",\"n\":4"), search = TextsAsync(http, Beams);
            drawn ??= await four;
            beams ??= await search;
            Assert.Equal(drawn, await four);
            Assert.Equal(beams, await search);
            Assert.Equal(4, drawn.Distinct().Count());
            Assert.Equal(4, beams.Distinct().Count());
            Assert.Equal([drawn[0]], await TextsAsync(http, Drawn));
            Assert.Equal(await MostProbableAsync(http, Drawn + ",\"n\":4,\"logprobs\":0", 2), await TextsAsync(http, Drawn + ",\"n\":2,\"best_of\":4"));
            await Task.WhenAll(neighbours);
            if (blocks == 60)
                Assert.Matches(@"vllm:num_preemptions_total\{[^}]*\} [1-9]", await http.GetStringAsync("/metrics"));
            await host.StopAsync(TimeSpan.Zero);
        }
    }

    /// <summary>The same text from the GPU's kernels on the emulator, decode steps replayed and planned ahead.</summary>
    [Fact]
    public async Task The_published_text_comes_out_of_the_gpus_kernels()
    {
        await using ServerHost host = await ServeEmulatedAsync(ModelDType.Float32);
        using HttpClient http = new() { BaseAddress = host.Address, Timeout = TimeSpan.FromMinutes(5) };
        using JsonDocument golden = JsonDocument.Parse(await File.ReadAllBytesAsync(TestData.Require("models/stories260K/greedy_golden.json")));
        Task<string> neighbour = PlainAsync(http, """{"prompt":"Lily saw a dog","temperature":1,"seed":1,"max_tokens":30""");
        Assert.Equal(Golden(golden.RootElement), await StreamedAsync(http));
        await neighbour;
        // Forks, copies on write and beams on the device: greedy choices are the published text, and beams end above it.
        string[] choices = await TextsAsync(http, """{"prompt":[1],"temperature":0,"max_tokens":40,"n":3""");
        Assert.All(choices, text => Assert.StartsWith(text, Golden(golden.RootElement), StringComparison.Ordinal));
        string[] beams = await TextsAsync(http, """{"prompt":[1],"max_tokens":12,"n":3,"use_beam_search":true""");
        Assert.Equal(3, beams.Distinct().Count());
        Assert.Matches(@"nativelm:graph_replays_total\{[^}]*\} [1-9]", await http.GetStringAsync("/metrics"));
        await host.StopAsync(TimeSpan.Zero);
    }

    /// <summary>Rounded to bfloat16 it tells another story, with the same beginning.</summary>
    [Fact]
    public async Task The_gpus_kernels_tell_a_story_in_bfloat16()
    {
        await using ServerHost host = await ServeEmulatedAsync(ModelDType.BFloat16);
        using HttpClient http = new() { BaseAddress = host.Address, Timeout = TimeSpan.FromMinutes(5) };
        string text = await PlainAsync(http, """{"prompt":[1],"temperature":0,"max_tokens":60""");
        Assert.StartsWith("Once upon a time, there was a little girl named Lily.", text, StringComparison.Ordinal);
        await host.StopAsync(TimeSpan.Zero);
    }

    private static async Task<ServerHost> ServeEmulatedAsync(ModelDType type)
    {
        string folder = TestData.Require("models/stories260K");
        LlmEngine engine;
        try
        {
            engine = LlmEngine.Load(new EngineOptions
            {
                ModelPath = folder,
                Device = DeviceKind.Emulated,
                DType = type,
                Graphs = Toggle.On,
                AsyncScheduling = Toggle.On,
                MaxSequences = 4,
                MaxBatchedTokens = 32,
                KvCacheMemoryBytes = 16 << 20,
            });
        }
        catch (NativeLoadException absent)
        {
            Assert.Skip(absent.Message);
            throw;
        }
        ServerHost host = await ServerHost.StartAsync(new ServerOptions { Port = 0 });
        host.Engine.Attach(engine);
        return host;
    }

    private static string Golden(JsonElement golden)
    {
        JsonElement cases = golden.ValueKind == JsonValueKind.Array ? golden
            : golden.EnumerateObject().First(static p => p.Value.ValueKind == JsonValueKind.Array).Value;
        return cases[0].GetProperty("text").GetString()!;
    }

    private static async Task<string> PlainAsync(HttpClient http, string body) => (await TextsAsync(http, body))[0];

    private static async Task<string[]> TextsAsync(HttpClient http, string body)
    {
        using StringContent content = new(body + "}", null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return [.. JsonDocument.Parse(text).RootElement.GetProperty("choices").EnumerateArray().Select(static choice => choice.GetProperty("text").GetString()!)];
    }

    /// <summary>The choices with the highest sums of log-probabilities, best first.</summary>
    private static async Task<string[]> MostProbableAsync(HttpClient http, string body, int count)
    {
        using StringContent content = new(body + "}", null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        using JsonDocument answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        return [.. answer.RootElement.GetProperty("choices").EnumerateArray()
            .OrderByDescending(static choice => choice.GetProperty("logprobs").GetProperty("token_logprobs").EnumerateArray().Sum(static p => p.GetDouble()))
            .Take(count).Select(static choice => choice.GetProperty("text").GetString()!)];
    }

    private static async Task<string> StreamedAsync(HttpClient http)
    {
        using StringContent content = new(Request + ",\"stream\":true}", null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        string[] events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("data: [DONE]", events[^1]);
        return string.Concat(events.SkipLast(1).Select(static e =>
            JsonDocument.Parse(e["data: ".Length..]).RootElement.GetProperty("choices")[0].GetProperty("text").GetString()));
    }
}
