using System.Net;
using System.Text.Json;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Answers and streams of both generation routes, field by field.</summary>
public sealed class GenerationTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Chat = """{"messages":[{"role":"user","content":"Hello"}],"max_tokens":30,"temperature":0""";

    [Fact]
    public async Task A_completion_has_openais_fields()
    {
        JsonElement answer = await server.AskAsync("/v1/completions", """{"model":"alias","prompt":"Hello","max_tokens":30}""");
        Assert.StartsWith("cmpl-", answer.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal("text_completion", answer.GetProperty("object").GetString());
        Assert.Equal("alias", answer.GetProperty("model").GetString());
        Assert.StartsWith("fp_", answer.GetProperty("system_fingerprint").GetString(), StringComparison.Ordinal);
        JsonElement choice = Assert.Single(answer.GetProperty("choices").EnumerateArray());
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("logprobs").ValueKind);
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("stop_reason").ValueKind);
        Assert.Equal("length", choice.GetProperty("finish_reason").GetString());
        JsonElement usage = answer.GetProperty("usage");
        Assert.Equal((5, 30, 35), (Int(usage, "prompt_tokens"), Int(usage, "completion_tokens"), Int(usage, "total_tokens")));
        Assert.Equal(0, Int(usage.GetProperty("prompt_tokens_details"), "cached_tokens"));
        Assert.Equal(0, Int(usage.GetProperty("completion_tokens_details"), "reasoning_tokens"));
    }

    [Fact]
    public async Task A_chat_answer_has_openais_fields()
    {
        JsonElement answer = await server.AskAsync("/v1/chat/completions", Chat + "}");
        Assert.StartsWith("chatcmpl-", answer.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal("chat.completion", answer.GetProperty("object").GetString());
        Assert.Equal("default", answer.GetProperty("service_tier").GetString());
        JsonElement choice = Assert.Single(answer.GetProperty("choices").EnumerateArray());
        JsonElement message = choice.GetProperty("message");
        Assert.Equal("assistant", message.GetProperty("role").GetString());
        Assert.Equal(JsonValueKind.Null, message.GetProperty("refusal").ValueKind);
        Assert.Equal(0, message.GetProperty("annotations").GetArrayLength());
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("logprobs").ValueKind);
        Assert.NotEqual("", message.GetProperty("content").GetString());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(64)]
    [InlineData(300)]
    public async Task A_stream_holds_the_text_of_the_plain_answer(int maxTokens)
    {
        string body = $$"""{"messages":[{"role":"user","content":"Hello"}],"max_tokens":{{maxTokens}},"temperature":0""";
        JsonElement plain = await server.AskAsync("/v1/chat/completions", body + "}");
        List<string> events = await server.StreamAsync("/v1/chat/completions", body + ",\"stream\":true}");
        Assert.Equal("[DONE]", events[^1]);
        JsonElement[] chunks = [.. events.SkipLast(1).Select(static e => JsonDocument.Parse(e).RootElement)];
        Assert.All(chunks, static c => Assert.Equal("chat.completion.chunk", c.GetProperty("object").GetString()));
        Assert.Single(chunks.Select(static c => c.GetProperty("id").GetString()).Distinct());
        JsonElement first = chunks[0].GetProperty("choices")[0].GetProperty("delta");
        Assert.Equal("assistant", first.GetProperty("role").GetString());
        Assert.Equal("", first.GetProperty("content").GetString());
        JsonElement last = chunks[^1].GetProperty("choices")[0];
        Assert.Empty(last.GetProperty("delta").EnumerateObject());
        Assert.Equal("length", last.GetProperty("finish_reason").GetString());
        Assert.Single(chunks, static c => c.GetProperty("choices")[0].GetProperty("finish_reason").ValueKind == JsonValueKind.String);
        Assert.All(chunks, static c => Assert.False(c.TryGetProperty("usage", out _)));
        string text = string.Concat(chunks.Skip(1).SkipLast(1)
            .Select(static c => c.GetProperty("choices")[0].GetProperty("delta").GetProperty("content").GetString()));
        Assert.Equal(plain.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString(), text);
    }

    [Theory]
    [InlineData("/v1/completions", "\"prompt\":\"Hello\"")]
    [InlineData("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]")]
    public async Task Usage_is_null_in_every_chunk_and_comes_once_at_the_end(string path, string prompt)
    {
        List<string> events = await server.StreamAsync(path, $$$"""{{{{prompt}}},"max_tokens":20,"stream":true,"stream_options":{"include_usage":true}}""");
        JsonElement[] chunks = [.. events.SkipLast(1).Select(static e => JsonDocument.Parse(e).RootElement)];
        Assert.All(chunks.SkipLast(1), static c => Assert.Equal(JsonValueKind.Null, c.GetProperty("usage").ValueKind));
        Assert.Equal(0, chunks[^1].GetProperty("choices").GetArrayLength());
        Assert.Equal(20, Int(chunks[^1].GetProperty("usage"), "completion_tokens"));
    }

    [Fact]
    public async Task Continuous_usage_grows_with_the_text()
    {
        List<string> events = await server.StreamAsync("/v1/completions",
            """{"prompt":"Hello","max_tokens":20,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}""");
        int[] counts = [.. events.SkipLast(1).Select(static e => Int(JsonDocument.Parse(e).RootElement.GetProperty("usage"), "completion_tokens"))];
        Assert.Equal(counts.Order(), counts);
        Assert.Equal(20, counts[^1]);
    }

    [Fact]
    public async Task Several_prompts_give_numbered_choices_plain_and_streamed()
    {
        const string Body = """{"prompt":["one","two","three"],"max_tokens":50""";
        JsonElement plain = await server.AskAsync("/v1/completions", Body + "}");
        string[] texts = [.. plain.GetProperty("choices").EnumerateArray().Select(static c => c.GetProperty("text").GetString()!)];
        Assert.Equal([0, 1, 2], plain.GetProperty("choices").EnumerateArray().Select(static c => Int(c, "index")));
        Assert.Equal(150, Int(plain.GetProperty("usage"), "completion_tokens"));
        string[] streamed = ["", "", ""];
        int[] ends = new int[3];
        foreach (string @event in (await server.StreamAsync("/v1/completions", Body + ",\"stream\":true}")).SkipLast(1))
        {
            JsonElement choice = JsonDocument.Parse(@event).RootElement.GetProperty("choices")[0];
            streamed[Int(choice, "index")] += choice.GetProperty("text").GetString();
            ends[Int(choice, "index")] += choice.GetProperty("finish_reason").ValueKind == JsonValueKind.String ? 1 : 0;
        }
        Assert.Equal(texts, streamed);
        Assert.Equal([1, 1, 1], ends);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task One_bad_prompt_among_several_runs_none()
    {
        string tooLong = $"[{string.Join(',', Enumerable.Repeat("70", 3000))}]";
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":[[70,71],{{tooLong}}],"max_tokens":500}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stop_string_ends_the_text_before_it(bool include)
    {
        JsonElement whole = await server.AskAsync("/v1/completions", """{"prompt":"stop here","max_tokens":200}""");
        string text = whole.GetProperty("choices")[0].GetProperty("text").GetString()!;
        int at = text.IndexOf("fox", 5, StringComparison.Ordinal);
        JsonElement stopped = await server.AskAsync("/v1/completions",
            $$"""{"prompt":"stop here","max_tokens":200,"stop":["zebra","fox"],"include_stop_str_in_output":{{(include ? "true" : "false")}}}""");
        JsonElement choice = stopped.GetProperty("choices")[0];
        int first = text.IndexOf("fox", StringComparison.Ordinal);
        Assert.Equal(text[..(include ? first + 3 : first)], choice.GetProperty("text").GetString());
        Assert.Equal("stop", choice.GetProperty("finish_reason").GetString());
        Assert.Equal("fox", choice.GetProperty("stop_reason").GetString());
        Assert.True(at > 0);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Eos_and_stop_ids_end_the_output()
    {
        JsonElement eos = await server.AskAsync("/v1/completions", $$"""{"prompt":[70,{{ScriptedExecutor.Short}}],"max_tokens":50}""");
        Assert.Equal("stop", eos.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(JsonValueKind.Null, eos.GetProperty("choices")[0].GetProperty("stop_reason").ValueKind);
        JsonElement ids = await server.AskAsync("/v1/completions", """{"prompt":"Hello","max_tokens":5,"return_token_ids":true}""");
        int[] tokens = [.. ids.GetProperty("choices")[0].GetProperty("token_ids").EnumerateArray().Select(static t => t.GetInt32())];
        Assert.Equal(5, tokens.Length);
        Assert.Equal(5, ids.GetProperty("choices")[0].GetProperty("prompt_token_ids").GetArrayLength());
        JsonElement stopped = await server.AskAsync("/v1/completions", $$"""{"prompt":"Hello","max_tokens":5,"stop_token_ids":[{{tokens[3]}}]}""");
        Assert.Equal(tokens[3], Int(stopped.GetProperty("choices")[0], "stop_reason"));
    }

    [Fact]
    public async Task No_code_point_is_ever_cut()
    {
        List<string> events = await server.StreamAsync("/v1/completions", """{"prompt":"emoji","max_tokens":400,"stream":true}""");
        foreach (string @event in events.SkipLast(2))
        {
            string text = JsonDocument.Parse(@event).RootElement.GetProperty("choices")[0].GetProperty("text").GetString()!;
            Assert.DoesNotContain('\ufffd', text);
            Assert.False(text.Length > 0 && char.IsHighSurrogate(text[^1]));
        }
    }

    [Fact]
    public async Task Chat_logprobs_have_openais_shape_and_are_finite()
    {
        JsonElement answer = await server.AskAsync("/v1/chat/completions", Chat + ",\"logprobs\":true,\"top_logprobs\":5}");
        JsonElement logprobs = answer.GetProperty("choices")[0].GetProperty("logprobs");
        Assert.Equal(JsonValueKind.Null, logprobs.GetProperty("refusal").ValueKind);
        Assert.Equal(30, logprobs.GetProperty("content").GetArrayLength());
        foreach (JsonElement token in logprobs.GetProperty("content").EnumerateArray())
        {
            Assert.Equal(["token", "logprob", "bytes", "top_logprobs"], token.EnumerateObject().Select(static p => p.Name));
            Assert.Equal(5, token.GetProperty("top_logprobs").GetArrayLength());
            Assert.Equal(-9999, token.GetProperty("top_logprobs")[3].GetProperty("logprob").GetDouble());
            Assert.Single(token.GetProperty("bytes").EnumerateArray());
        }
    }

    [Fact]
    public async Task Streamed_logprobs_cover_every_token_once()
    {
        List<string> events = await server.StreamAsync("/v1/chat/completions", Chat + ",\"logprobs\":true,\"stream\":true}");
        int count = 0;
        foreach (string @event in events.SkipLast(1))
            if (JsonDocument.Parse(@event)
                .RootElement.GetProperty("choices")[0].GetProperty("logprobs") is { ValueKind: JsonValueKind.Object } logprobs)
                count += logprobs.GetProperty("content").GetArrayLength();
        Assert.Equal(30, count);
    }

    [Fact]
    public async Task Completion_logprobs_are_parallel_arrays_with_offsets_into_the_text()
    {
        JsonElement answer = await server.AskAsync("/v1/completions", """{"prompt":"Hello","max_tokens":10,"logprobs":2,"echo":true}""");
        JsonElement choice = answer.GetProperty("choices")[0];
        string text = choice.GetProperty("text").GetString()!;
        JsonElement logprobs = choice.GetProperty("logprobs");
        Assert.StartsWith("Hello", text, StringComparison.Ordinal);
        string[] arrays = ["text_offset", "token_logprobs", "tokens", "top_logprobs"];
        Assert.Equal(arrays, logprobs.EnumerateObject().Select(static p => p.Name));
        Assert.All(arrays, name => Assert.Equal(15, logprobs.GetProperty(name).GetArrayLength()));
        Assert.Equal(JsonValueKind.Null, logprobs.GetProperty("token_logprobs")[0].ValueKind);
        for (int i = 0; i < 15; i++)
        {
            string token = logprobs.GetProperty("tokens")[i].GetString()!;
            if (token != "\ufffd")
                Assert.Equal(token, text.Substring(logprobs.GetProperty("text_offset")[i].GetInt32(), token.Length));
        }
    }

    [Fact]
    public async Task Echo_without_output_scores_a_prompt()
    {
        JsonElement answer = await server.AskAsync("/v1/completions", """{"prompt":"Hello","max_tokens":0,"logprobs":0,"echo":true}""");
        Assert.Equal("Hello", answer.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.Equal(5, answer.GetProperty("choices")[0].GetProperty("logprobs").GetProperty("tokens").GetArrayLength());
        Assert.Equal(0, Int(answer.GetProperty("usage"), "completion_tokens"));
    }

    [Fact]
    public async Task Prompt_logprobs_report_every_prompt_token()
    {
        JsonElement answer = await server.AskAsync("/v1/completions", """{"prompt":"Hello","max_tokens":1,"prompt_logprobs":2}""");
        JsonElement entries = answer.GetProperty("choices")[0].GetProperty("prompt_logprobs");
        Assert.Equal(5, entries.GetArrayLength());
        Assert.Equal(JsonValueKind.Null, entries[0].ValueKind);
        Assert.Equal(-1.5, entries[1].EnumerateObject().First().Value.GetProperty("logprob").GetDouble());
    }

    [Fact]
    public async Task A_row_that_is_not_finite_is_a_500_for_that_request_alone()
    {
        Task<JsonElement> neighbour = server.AskAsync("/v1/completions", """{"prompt":"neighbour","max_tokens":200}""");
        using HttpResponseMessage plain = await server.PostAsync("/v1/completions", $$"""{"prompt":[{{ScriptedExecutor.Poison}}]}""");
        Assert.Equal(HttpStatusCode.InternalServerError, plain.StatusCode);
        await TestServer.AssertErrorAsync(plain, "internal_error");
        using HttpResponseMessage stream = await server.PostAsync("/v1/completions", $$"""{"prompt":[{{ScriptedExecutor.Poison}}],"stream":true}""");
        Assert.Equal(HttpStatusCode.InternalServerError, stream.StatusCode);
        Assert.Equal("length", (await neighbour).GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task An_error_after_the_first_chunk_is_an_event_and_the_end()
    {
        await using TestServer slow = await TestServer.CreateAsync(new ServerOptions { Port = 0 });
        slow.Executor.StepTime = TimeSpan.FromMilliseconds(20);
        List<string> events = await slow.StreamAsync("/v1/completions", $$"""{"prompt":[{{ScriptedExecutor.LatePoison}}],"max_tokens":50,"stream":true}""");
        JsonElement error = JsonDocument.Parse(events[^1]).RootElement.GetProperty("error");
        Assert.Equal("server_error", error.GetProperty("type").GetString());
        Assert.DoesNotContain(events, static e => e.Contains("\"stop\"", StringComparison.Ordinal) || e == "[DONE]");
        Assert.Contains("nativelm:http_errors_total{code=\"internal_error\"} 1", await slow.Http.GetStringAsync("/metrics"), StringComparison.Ordinal);
        await slow.AssertUnharmedAsync();
    }

    [Fact]
    public async Task The_request_id_names_the_answer()
    {
        JsonElement answer = await server.AskAsync("/v1/completions", """{"prompt":"a","max_tokens":1,"request_id":"my.id-1"}""");
        Assert.Equal("cmpl-my.id-1", answer.GetProperty("id").GetString());
    }

    private static int Int(JsonElement element, string name) => element.GetProperty(name).GetInt32();
}
