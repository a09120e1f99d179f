using System.Text.Json;
using NativeLM.Engine;
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

    private static string Golden(JsonElement golden)
    {
        JsonElement cases = golden.ValueKind == JsonValueKind.Array ? golden
            : golden.EnumerateObject().First(static p => p.Value.ValueKind == JsonValueKind.Array).Value;
        return cases[0].GetProperty("text").GetString()!;
    }

    private static async Task<string> PlainAsync(HttpClient http, string body)
    {
        using StringContent content = new(body + "}", null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonDocument.Parse(text).RootElement.GetProperty("choices")[0].GetProperty("text").GetString()!;
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
