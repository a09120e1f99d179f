using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using NativeLM.Engine;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>A real server on a free loopback port over a scripted engine, and the promises every test ends with.</summary>
public sealed class TestServer : IAsyncLifetime
{
    public const int ContextLength = 2048;
    private const string ProbeBody = """{"prompt":"The probe","max_tokens":40,"temperature":0}""";
    private const string Template =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    private ServerHost? _host;
    private string? _probeText;

    internal ScriptedExecutor Executor { get; private set; } = null!;

    internal ServerHost Host => _host!;

    public Uri Address => _host!.Address;

    public HttpClient Http { get; private set; } = null!;

    public ValueTask InitializeAsync() => StartAsync(new ServerOptions { Port = 0, ServedModelNames = ["test-model", "alias"] });

    /// <summary>A server of its own for one test.</summary>
    internal static async Task<TestServer> CreateAsync(ServerOptions options, Func<EngineInfo, EngineInfo>? change = null,
        EngineOptions? engine = null)
    {
        TestServer server = new();
        await server.StartAsync(options, change, engine);
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _host!.StopAsync(TimeSpan.Zero);
        await _host.DisposeAsync();
    }

    public async Task<HttpResponseMessage> PostAsync(string path, string body)
    {
        using StringContent content = new(body, Encoding.UTF8, "application/json");
        return await Http.PostAsync(path, content);
    }

    /// <summary>The JSON of a request that must succeed.</summary>
    public async Task<JsonElement> AskAsync(string path, string body)
    {
        using HttpResponseMessage response = await PostAsync(path, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, $"{response.StatusCode}: {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    /// <summary>Data lines of a stream that must succeed.</summary>
    public async Task<List<string>> StreamAsync(string path, string body)
    {
        using HttpResponseMessage response = await PostAsync(path, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, $"{response.StatusCode}: {text}");
        Assert.Equal("text/event-stream; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        Assert.DoesNotContain('\r', text);
        return [.. text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(static e => e.StartsWith("data: ", StringComparison.Ordinal))
            .Select(static e => e["data: ".Length..])];
    }

    /// <summary>Runs something with the requests of an API key.</summary>
    public async Task<T> AsAsync<T>(string key, Func<Task<T>> act)
    {
        Http.DefaultRequestHeaders.Authorization = new("Bearer", key);
        try
        {
            return await act();
        }
        finally
        {
            Http.DefaultRequestHeaders.Authorization = null;
        }
    }

    /// <summary>The error object, complete and with this code and parameter.</summary>
    public static async Task<string> AssertErrorAsync(HttpResponseMessage response, string code, string? parameter = null)
    {
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(text.Length < 1024, $"an error of {text.Length} characters");
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        JsonElement error = JsonDocument.Parse(text).RootElement.GetProperty("error");
        Assert.Equal(["message", "type", "param", "code"], error.EnumerateObject().Select(static p => p.Name));
        Assert.Equal(code, error.GetProperty("code").GetString());
        if (parameter is not null)
            Assert.Equal(parameter, error.GetProperty("param").GetString());
        string message = error.GetProperty("message").GetString()!;
        Assert.DoesNotContain("   at ", message, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", message, StringComparison.Ordinal);
        return message;
    }

    /// <summary>Alive, nothing running or waiting, no block used, and greedy text as ever.</summary>
    public async Task AssertUnharmedAsync()
    {
        JsonElement answer = await AskAsync("/v1/completions", ProbeBody);
        string text = answer.GetProperty("choices")[0].GetProperty("text").GetString()!;
        _probeText ??= text;
        Assert.Equal(_probeText, text);
        await AssertIdleAsync();
    }

    /// <summary>Within 2 s nothing runs or waits and no block is used.</summary>
    public async Task AssertIdleAsync()
    {
        for (int tries = 0; ; tries++)
        {
            Dictionary<string, double> gauges = await GaugesAsync();
            if (gauges["vllm:num_requests_running"] == 0 && gauges["vllm:num_requests_waiting"] == 0 && gauges["nativelm:kv_blocks_used"] == 0)
                return;
            Assert.True(tries < 200,
                $"running {gauges["vllm:num_requests_running"]}, waiting {gauges["vllm:num_requests_waiting"]}, blocks {gauges["nativelm:kv_blocks_used"]}");
            await Task.Delay(10);
        }
    }

    /// <summary>Series without own labels, by name.</summary>
    public async Task<Dictionary<string, double>> GaugesAsync()
    {
        Dictionary<string, double> gauges = [];
        foreach (string line in (await Http.GetStringAsync("/metrics")).Split('\n'))
        {
            int brace = line.IndexOf('{', StringComparison.Ordinal);
            if (line.Length > 0 && line[0] != '#' && brace > 0)
                gauges[line[..brace]] = double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
        }
        return gauges;
    }

    private async ValueTask StartAsync(ServerOptions serverOptions, Func<EngineInfo, EngineInfo>? change = null, EngineOptions? engineOptions = null)
    {
        ByteTokenizer bytes = new();
        Executor = new ScriptedExecutor(bytes);
        EngineInfo info = new()
        {
            ModelName = "test-model",
            Architecture = "Scripted",
            DType = "float32",
            Device = "none",
            MaxModelLength = ContextLength,
            VocabularySize = ByteTokenizer.VocabularySize,
            BlockSize = 16,
            BlockCount = 1025,
            MaxSequences = 64,
            MaxBatchedTokens = 256,
            EosTokenIds = [ByteTokenizer.Eos],
        };
        _host = await ServerHost.StartAsync(serverOptions);
        EngineOptions options = engineOptions ?? new EngineOptions { ModelPath = "none" };
        _host.Engine.Attach(new LlmEngine(Executor, change?.Invoke(info) ?? info, options, bytes.Tokenizer, ChatTemplate.Parse(Template)));
        Http = new HttpClient { BaseAddress = _host.Address, Timeout = TimeSpan.FromSeconds(30) };
    }
}
