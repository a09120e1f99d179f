using System.Globalization;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Beam search over HTTP against what Hugging Face transformers finds: every token of every beam of every run, and the scores.</summary>
public sealed class BeamGoldenTests
{
    private const int RunsPerCase = 20;
    private const float ScoreTolerance = 1e-3f;

    public static TheoryData<string> Cases()
    {
        TheoryData<string> cases = [];
        if (TestData.GoldensOrNull is string root)
            foreach (string folder in Directory.GetDirectories(root, "llama-*").Order(StringComparer.Ordinal))
                cases.Add(Path.GetFileName(folder));
        if (cases.Count == 0)
            cases.Add("llama-gqa");
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Beams_are_those_of_transformers(string name)
    {
        string folder = TestData.RequireGolden(name);
        await using ServerHost host = await ServerHost.StartAsync(new ServerOptions { Port = 0 });
        host.Engine.Attach(LlmEngine.Load(new EngineOptions
        {
            ModelPath = folder,
            Device = DeviceKind.Cpu,
            DType = ModelDType.Float32,
            MaxSequences = 16,
            MaxQueuedRequests = 100, // a request counts once per beam
            MaxBatchedTokens = 256,
            KvCacheMemoryBytes = 16 << 20,
            Threads = 2,
        }));
        using HttpClient http = new() { BaseAddress = host.Address };
        using JsonDocument golden = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "goldens.json")));
        // All at once: neighbours in the batch change no beam.
        Task[] runs = [.. from prompt in golden.RootElement.GetProperty("prompts").EnumerateArray()
                          from run in prompt.GetProperty("beams").EnumerateArray()
                          select CompareAsync(http, prompt.GetProperty("ids"), run)];
        Assert.Equal(RunsPerCase, runs.Length);
        await Task.WhenAll(runs);
        Assert.Matches(@"nativelm:kv_blocks_used\{[^}]*\} 0\n", await http.GetStringAsync("/metrics"));
        await host.StopAsync(TimeSpan.Zero);
    }

    private static async Task CompareAsync(HttpClient http, JsonElement prompt, JsonElement run)
    {
        int end = run.GetProperty("eos_token_id").GetInt32();
        string body = string.Create(CultureInfo.InvariantCulture, $$"""
            {"prompt":{{prompt.GetRawText()}},"use_beam_search":true,"n":{{run.GetProperty("num_beams").GetInt32()}},
             "length_penalty":{{run.GetProperty("length_penalty").GetDouble()}},"early_stopping":{{run.GetProperty("early_stopping").GetRawText()}},
             "max_tokens":{{run.GetProperty("max_new_tokens").GetInt32()}},"ignore_eos":true,"stop_token_ids":[{{end}}],
             "return_token_ids":true,"include_sharing_report":true}
            """);
        using StringContent content = new(body, null, "application/json");
        using HttpResponseMessage response = await http.PostAsync("/v1/completions", content);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        using JsonDocument answer = JsonDocument.Parse(text);
        JsonElement[] sequences = [.. run.GetProperty("sequences").EnumerateArray()];
        JsonElement choices = answer.RootElement.GetProperty("choices");
        Assert.Equal(sequences.Length, choices.GetArrayLength());
        for (int i = 0; i < sequences.Length; i++)
        {
            Assert.Equal(Ints(sequences[i]), Tokens(choices[i], end));
            Assert.Equal(run.GetProperty("scores")[i].GetDouble(),
                answer.RootElement.GetProperty("nativelm").GetProperty("beam_scores")[i].GetDouble(), ScoreTolerance);
        }
    }

    /// <summary>The tokens with the end token, which the API reports beside them.</summary>
    private static int[] Tokens(JsonElement choice, int end)
    {
        int[] ids = Ints(choice.GetProperty("token_ids"));
        if (choice.GetProperty("finish_reason").GetString() == "length")
            return ids;
        Assert.Equal(end, choice.GetProperty("stop_reason").GetInt32());
        return [.. ids, end];
    }

    private static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(static item => item.GetInt32())];
}
