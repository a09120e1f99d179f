using System.Net;
using System.Text.Json;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Several choices per prompt: n, best_of and beam search, whole and streamed.</summary>
public sealed class ChoiceTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Completions = "/v1/completions";
    private const string Chats = "/v1/chat/completions";
    private const string Chat = """{"messages":[{"role":"user","content":"Hello"}],"max_tokens":40""";

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(64)]
    public async Task N_choices_come_of_one_prompt_that_is_counted_once(int n)
    {
        JsonElement answer = await server.AskAsync(Completions, $$"""{"prompt":"Hello","max_tokens":30,"n":{{n}}}""");
        string[] texts = Texts(answer);
        Assert.Equal(n, texts.Length);
        Assert.Equal(Enumerable.Range(0, n), answer.GetProperty("choices").EnumerateArray().Select(static c => c.GetProperty("index").GetInt32()));
        Assert.True(texts.Distinct().Count() > n / 2);
        AssertUsage(answer.GetProperty("usage"), prompt: 5, completion: 30 * n);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Greedy_choices_are_equal()
    {
        string[] texts = Texts(await server.AskAsync(Completions, """{"prompt":"Hello","max_tokens":30,"n":3,"temperature":0}"""));
        Assert.Single(texts.Distinct());
        string[] same = Texts(await server.AskAsync(Completions, """{"prompt":"Hello","max_tokens":30,"n":3,"best_of":3,"temperature":0}"""));
        Assert.Equal(texts, same);
    }

    [Theory]
    [InlineData(Completions, """{"prompt":"Hello","max_tokens":40,"n":3""")]
    [InlineData(Completions, """{"prompt":"Hello","max_tokens":40,"n":3,"echo":true,"logprobs":1""")]
    [InlineData(Completions, """{"prompt":["one","two"],"max_tokens":17,"n":2,"stop":["fox","stop"]""")]
    [InlineData(Chats, Chat + ",\"n\":3")]
    [InlineData(Chats, Chat + ",\"n\":5,\"logprobs\":true,\"stop\":[\" the\"]")]
    public async Task A_stream_holds_each_choice_of_the_plain_answer(string path, string body)
    {
        JsonElement plain = await server.AskAsync(path, body + "}");
        List<string> events = await server.StreamAsync(path, body + ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        Assert.Equal("[DONE]", events[^1]);
        JsonElement[] chunks = [.. events.SkipLast(1).Select(static e => JsonDocument.Parse(e).RootElement)];
        bool isChat = path == Chats;
        JsonElement[] choices = [.. chunks.SkipLast(1).Select(static c => Assert.Single(c.GetProperty("choices").EnumerateArray()))];
        for (int i = 0; i < plain.GetProperty("choices").GetArrayLength(); i++)
        {
            JsonElement whole = plain.GetProperty("choices")[i];
            JsonElement[] own = [.. choices.Where(c => c.GetProperty("index").GetInt32() == i)];
            Assert.Equal(isChat ? whole.GetProperty("message").GetProperty("content").GetString() : whole.GetProperty("text").GetString(),
                string.Concat(own.Select(c => isChat ? DeltaText(c) : c.GetProperty("text").GetString())));
            JsonElement last = Assert.Single(own, static c => c.GetProperty("finish_reason").ValueKind == JsonValueKind.String);
            Assert.Equal(whole.GetProperty("finish_reason").GetString(), last.GetProperty("finish_reason").GetString());
            Assert.True(JsonElement.DeepEquals(whole.GetProperty("stop_reason"), last.GetProperty("stop_reason")));
            Assert.True(JsonElement.DeepEquals(last, own[^1]));
            if (isChat)
                Assert.Equal("assistant", Assert.Single(own, static c => c.GetProperty("delta").TryGetProperty("role", out _))
                    .GetProperty("delta").GetProperty("role").GetString());
        }
        Assert.Equal(0, chunks[^1].GetProperty("choices").GetArrayLength());
        Assert.Equal(plain.GetProperty("usage").GetProperty("prompt_tokens").GetInt32(),
            chunks[^1].GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Choices_of_several_prompts_are_numbered_prompt_by_prompt()
    {
        string[] one = Texts(await server.AskAsync(Completions, """{"prompt":"one","max_tokens":20,"n":2}"""));
        string[] two = Texts(await server.AskAsync(Completions, """{"prompt":"two","max_tokens":20,"n":2}"""));
        JsonElement both = await server.AskAsync(Completions, """{"prompt":["one","two"],"max_tokens":20,"n":2}""");
        Assert.Equal([.. one, .. two], Texts(both));
        Assert.Equal([0, 1, 2, 3], both.GetProperty("choices").EnumerateArray().Select(static c => c.GetProperty("index").GetInt32()));
        AssertUsage(both.GetProperty("usage"), prompt: 6, completion: 80);
    }

    [Fact]
    public async Task A_stop_string_ends_its_own_choice_and_the_others_go_on()
    {
        JsonElement plain = await server.AskAsync(Completions, """{"prompt":"Hello","max_tokens":60,"n":6}""");
        JsonElement stopped = await server.AskAsync(Completions, """{"prompt":"Hello","max_tokens":60,"n":6,"stop":"café"}""");
        int ends = 0;
        for (int i = 0; i < 6; i++)
        {
            string text = Texts(plain)[i];
            int at = text.IndexOf("café", StringComparison.Ordinal);
            JsonElement choice = stopped.GetProperty("choices")[i];
            Assert.Equal(at < 0 ? text : text[..at], choice.GetProperty("text").GetString());
            Assert.Equal(at < 0 ? "length" : "stop", choice.GetProperty("finish_reason").GetString());
            Assert.Equal(at < 0 ? null : "café", choice.GetProperty("stop_reason").GetString());
            ends += at < 0 ? 0 : 1;
        }
        Assert.InRange(ends, 1, 5);
        await server.AssertUnharmedAsync();
    }

    /// <summary>A character of the text itself as stop string: it is complete in any step, the first included, in any choice.</summary>
    [Theory]
    [InlineData(false, 96)]
    [InlineData(true, 96)]
    [InlineData(true, 16)]
    public async Task Random_stop_strings_cut_each_choice_where_a_plain_search_says(bool isAsync, int sequences)
    {
        await using TestServer own = await TestServer.CreateAsync(
            new ServerOptions { Port = 0 }, info => info with { IsAsync = isAsync, MaxSequences = sequences, BlockCount = 100 });
        Random random = new(sequences);
        for (int round = 0; round < 60; round++)
        {
            int n = random.Next(1, 7);
            string body = $$"""{"prompt":"{{new string('a', random.Next(1, 50))}}","max_tokens":{{random.Next(1, 50)}},"n":{{n}}""";
            string[] plain = Texts(await own.AskAsync(Completions, body + "}"));
            System.Text.Rune[] runes = [.. plain[random.Next(n)].EnumerateRunes()];
            string stop = runes[random.Next(runes.Length)].ToString();
            string report = random.Next(2) == 0 ? "" : ",\"include_sharing_report\":true";
            JsonElement[] answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ =>
                own.AskAsync(Completions, $$"""{{body}},"stop":{{JsonSerializer.Serialize(stop)}}{{report}}}""")));
            foreach (JsonElement answer in answers)
                Assert.Equal(plain.Select(text => text.Split(stop)[0]), Texts(answer));
        }
        await own.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData(Completions, """{"prompt":"Hello","max_tokens":20""")]
    [InlineData(Chats, Chat)]
    public async Task Best_of_keeps_the_most_probable_and_counts_them_all(string path, string body)
    {
        // The scripted log-probabilities make the fifth sample the best, then the third.
        string[] all = Texts(await server.AskAsync(path, body + ",\"n\":5}"));
        JsonElement best = await server.AskAsync(path, body + ",\"n\":2,\"best_of\":5,\"return_token_ids\":true}");
        Assert.Equal([all[4], all[2]], Texts(best));
        JsonElement usage = best.GetProperty("usage");
        int tokens = best.GetProperty("choices")[0].GetProperty("token_ids").GetArrayLength();
        Assert.Equal(5 * tokens, usage.GetProperty("completion_tokens").GetInt32());
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Best_of_reports_the_logprobs_of_what_it_keeps()
    {
        JsonElement best = await server.AskAsync(Completions, """{"prompt":"Hello","max_tokens":7,"n":1,"best_of":5,"logprobs":1}""");
        JsonElement logprobs = Assert.Single(best.GetProperty("choices").EnumerateArray()).GetProperty("logprobs");
        Assert.All(logprobs.GetProperty("token_logprobs").EnumerateArray(), static value => Assert.Equal(-0.0625, value.GetDouble()));
        Assert.Equal(7, logprobs.GetProperty("tokens").GetArrayLength());
    }

    [Fact]
    public async Task Beams_come_whole_and_best_first()
    {
        JsonElement answer = await server.AskAsync(Completions,
            """{"prompt":"Hello","max_tokens":12,"n":3,"best_of":4,"use_beam_search":true,"include_sharing_report":true,"return_token_ids":true}""");
        Assert.Equal(3, answer.GetProperty("choices").GetArrayLength());
        Assert.Equal(3, Texts(answer).Distinct().Count());
        double[] scores = [.. answer.GetProperty("nativelm").GetProperty("beam_scores").EnumerateArray().Select(static s => s.GetDouble())];
        Assert.Equal(3, scores.Length);
        Assert.Equal(scores.OrderDescending(), scores);
        Assert.All(answer.GetProperty("choices").EnumerateArray(), static c => Assert.Equal(12, c.GetProperty("token_ids").GetArrayLength()));
        AssertUsage(answer.GetProperty("usage"), prompt: 5, completion: 36);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Beams_end_at_end_tokens()
    {
        JsonElement answer = await server.AskAsync(Completions,
            $$"""{"prompt":[5,{{ScriptedExecutor.Short}}],"max_tokens":30,"n":2,"use_beam_search":true,"early_stopping":true}""");
        Assert.All(answer.GetProperty("choices").EnumerateArray(), static c => Assert.Equal("stop", c.GetProperty("finish_reason").GetString()));
        Assert.All(Texts(answer), static text => Assert.True(text.Length is > 0 and < 30));
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("false")]
    [InlineData("true")]
    public async Task The_sharing_report_says_what_was_shared(string stream)
    {
        string prompt = new('p', 100);
        string body = $$"""{"prompt":"{{prompt}}","max_tokens":20,"n":4,"stop":"zzzz","include_sharing_report":true,"stream":{{stream}}}""";
        JsonElement answer = stream == "false" ? await server.AskAsync(Completions, body)
            : JsonDocument.Parse((await server.StreamAsync(Completions, body))[^2]).RootElement;
        JsonElement report = answer.GetProperty("nativelm");
        Assert.Equal(["logical_blocks", "physical_blocks", "saved_share", "blocks_used_max", "prompt_blocks_from_cache", "copies_on_write",
            "preemptions_by_recompute", "preemptions_by_swap", "bytes_swapped", "tokens_recomputed"], report.EnumerateObject().Select(static p => p.Name));
        // 100 prompt tokens fill six blocks of 16; four tokens lie in the seventh, which three of four sequences copy.
        Assert.Equal(3, report.GetProperty("copies_on_write").GetInt32());
        Assert.InRange(report.GetProperty("saved_share").GetDouble(), 0.4, 0.75);
        Assert.InRange(report.GetProperty("blocks_used_max").GetInt32(), 10, 14);
        Assert.True(report.GetProperty("logical_blocks").GetInt64() > report.GetProperty("physical_blocks").GetInt64());
    }

    [Fact]
    public async Task A_sharing_report_comes_when_a_stop_string_ended_the_last_choice_too()
    {
        JsonElement answer = await server.AskAsync(Completions,
            """{"prompt":"Hello","max_tokens":400,"n":2,"stop":["fox"," "],"include_sharing_report":true}""");
        Assert.All(answer.GetProperty("choices").EnumerateArray(), static c => Assert.Equal("stop", c.GetProperty("finish_reason").GetString()));
        Assert.True(answer.GetProperty("nativelm").GetProperty("physical_blocks").GetInt64() > 0);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Without_being_asked_no_report_is_sent()
    {
        JsonElement answer = await server.AskAsync(Completions, """{"prompt":"Hello","n":2}""");
        Assert.False(answer.TryGetProperty("nativelm", out _));
    }

    [Fact]
    public async Task A_row_that_is_not_finite_fails_its_request_alone()
    {
        Task<JsonElement> neighbour = server.AskAsync(Completions, """{"prompt":"neighbour","max_tokens":100,"n":3}""");
        using HttpResponseMessage response = await server.PostAsync(Completions, $$"""{"prompt":[{{ScriptedExecutor.LatePoison}}],"n":4,"best_of":6}""");
        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "internal_error");
        Assert.Equal(3, (await neighbour).GetProperty("choices").GetArrayLength());
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("best_of", "\"n\":3,\"best_of\":2")]
    [InlineData("best_of", "\"n\":1,\"best_of\":2,\"stream\":true")]
    [InlineData("best_of", "\"n\":2,\"best_of\":2,\"stream\":true")]
    [InlineData("best_of", "\"n\":1,\"best_of\":2,\"temperature\":0")]
    [InlineData("best_of", "\"n\":2,\"best_of\":3,\"temperature\":1e-6")]
    [InlineData("length_penalty", "\"length_penalty\":0.5")]
    [InlineData("early_stopping", "\"early_stopping\":true")]
    [InlineData("early_stopping", "\"early_stopping\":\"never\"")]
    [InlineData("n", "\"use_beam_search\":true")]
    [InlineData("n", "\"use_beam_search\":true,\"n\":1,\"best_of\":1")]
    [InlineData("temperature", "\"use_beam_search\":true,\"n\":2,\"temperature\":0.5")]
    [InlineData("top_p", "\"use_beam_search\":true,\"n\":2,\"top_p\":0.5")]
    [InlineData("top_k", "\"use_beam_search\":true,\"n\":2,\"top_k\":5")]
    [InlineData("min_p", "\"use_beam_search\":true,\"n\":2,\"min_p\":0.1")]
    [InlineData("repetition_penalty", "\"use_beam_search\":true,\"n\":2,\"repetition_penalty\":1.1")]
    [InlineData("presence_penalty", "\"use_beam_search\":true,\"n\":2,\"presence_penalty\":1")]
    [InlineData("frequency_penalty", "\"use_beam_search\":true,\"n\":2,\"frequency_penalty\":-1")]
    [InlineData("logit_bias", "\"use_beam_search\":true,\"n\":2,\"logit_bias\":{\"5\":1}")]
    [InlineData("allowed_token_ids", "\"use_beam_search\":true,\"n\":2,\"allowed_token_ids\":[5,6]")]
    [InlineData("min_tokens", "\"use_beam_search\":true,\"n\":2,\"min_tokens\":1")]
    [InlineData("logprobs", "\"use_beam_search\":true,\"n\":2,\"logprobs\":0")]
    [InlineData("prompt_logprobs", "\"use_beam_search\":true,\"n\":2,\"prompt_logprobs\":0")]
    [InlineData("stop", "\"use_beam_search\":true,\"n\":2,\"stop\":\"x\"")]
    [InlineData("stream", "\"use_beam_search\":true,\"n\":2,\"stream\":true")]
    public async Task Impossible_combinations_are_400_and_name_the_field(string field, string options)
    {
        using HttpResponseMessage response = await server.PostAsync(Completions, $$"""{"prompt":"a",{{options}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "invalid_value", field);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("\"temperature\":0,\"top_p\":1,\"top_k\":-1,\"min_p\":0,\"repetition_penalty\":1,\"presence_penalty\":0,\"logit_bias\":{},\"min_tokens\":0")]
    [InlineData("\"top_k\":0,\"stop\":[],\"stream\":false,\"frequency_penalty\":0.0,\"seed\":5,\"logprobs\":null")]
    [InlineData("\"length_penalty\":-10,\"early_stopping\":\"never\"")]
    [InlineData("\"length_penalty\":10,\"early_stopping\":true,\"ignore_eos\":true,\"stop_token_ids\":[7]")]
    public async Task What_asks_for_nothing_goes_with_beams(string options)
    {
        JsonElement answer = await server.AskAsync(Completions, $$"""{"prompt":"a","max_tokens":5,"n":2,"use_beam_search":true,{{options}}}""");
        Assert.Equal(2, answer.GetProperty("choices").GetArrayLength());
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("n", "\"n\":9", 128)]
    [InlineData("best_of", "\"n\":1,\"best_of\":128", 100)]
    public async Task Sequences_of_all_prompts_together_are_bounded(string field, string options, int prompts)
    {
        string many = string.Join(',', Enumerable.Repeat("\"a\"", prompts));
        using HttpResponseMessage response = await server.PostAsync(Completions, $$"""{"prompt":[{{many}}],{{options}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains("1024", await TestServer.AssertErrorAsync(response, "invalid_value", field), StringComparison.Ordinal);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("\"n\":65", false, 64)]
    [InlineData("\"n\":64", true, 64)]
    [InlineData("\"n\":65,\"use_beam_search\":true", false, 128)]
    [InlineData("\"n\":64,\"use_beam_search\":true", true, 128)]
    [InlineData("\"n\":33,\"use_beam_search\":true,\"stop_token_ids\":[5,6,7]", false, 128)]
    public async Task A_width_that_the_engine_cannot_run_is_refused(string options, bool runs, int sequences)
    {
        await using TestServer own = await TestServer.CreateAsync(new ServerOptions { Port = 0 }, info => info with { MaxSequences = sequences });
        using HttpResponseMessage response = await own.PostAsync(Completions, $$"""{"prompt":"a","max_tokens":3,{{options}}}""");
        Assert.Equal(runs ? HttpStatusCode.OK : HttpStatusCode.BadRequest, response.StatusCode);
        if (!runs)
            await TestServer.AssertErrorAsync(response, "invalid_value", "n");
        await own.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Hostile_values_in_every_combination_are_answered_and_leave_nothing_behind()
    {
        (string Field, string[] Usual)[] fields =
        [
            ("n", ["1", "2", "3"]), ("best_of", ["3", "7"]), ("use_beam_search", ["true", "false"]), ("length_penalty", ["1", "0.5"]),
            ("early_stopping", ["true", "\"never\""]), ("priority", ["0", "-1"]), ("cache_salt", ["\"x\""]), ("deadline_ms", ["1", "86400000"]),
            ("include_sharing_report", ["true"]), ("stream", ["true", "false"]), ("temperature", ["0", "1"]), ("stop", ["[\"fox\",\"é\"]"]),
            ("logprobs", ["0", "2"]), ("echo", ["true"]), ("max_tokens", ["1", "64"]), ("prompt_logprobs", ["1"]), ("return_token_ids", ["true"]),
        ];
        string[] hostile = ["0", "-1", "128", "129", "1e400", "-0", "0.5", "1e-9", "2147483648", "9223372036854775808", "null", "\"\"",
            "\"\\ud83d\\ude00\"", "[]", "{}", "\"NaN\"", "1E3"];
        Random random = new(5);
        int served = 0;
        await Parallel.ForAsync(0, 3000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (_, cancellation) =>
        {
            string body;
            lock (random)
                body = $$"""{"prompt":"{{new string('h', random.Next(1, 40))}}",{{string.Join(',', random.GetItems(fields, 4).DistinctBy(static f => f.Field)
                    .Select(f => $"\"{f.Field}\":{(random.Next(8) == 0 ? random.GetItems(hostile, 1) : random.GetItems(f.Usual, 1))[0]}"))}}}""";
            using HttpResponseMessage response = await server.PostAsync(Completions, body);
            string text = await response.Content.ReadAsStringAsync(cancellation);
            Assert.True(response.StatusCode is HttpStatusCode.OK or HttpStatusCode.BadRequest or HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests,
                $"{body}: {response.StatusCode} {text}");
            if (response.StatusCode == HttpStatusCode.OK)
                Interlocked.Increment(ref served);
        });
        Assert.InRange(served, 100, 2900);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_smaller_bound_of_n_is_named()
    {
        await using TestServer small = await TestServer.CreateAsync(new ServerOptions { Port = 0, Limits = new RequestLimits { ChoicesMax = 4 } });
        using HttpResponseMessage response = await small.PostAsync(Completions, """{"prompt":"a","n":5}""");
        Assert.Contains("1 to 4", await TestServer.AssertErrorAsync(response, "invalid_value", "n"), StringComparison.Ordinal);
        await small.AskAsync(Completions, """{"prompt":"a","n":4}""");
    }

    [Fact]
    public async Task What_could_never_fit_is_refused_with_the_arithmetic()
    {
        await using TestServer small = await TestServer.CreateAsync(new ServerOptions { Port = 0 }, static info => info with { BlockCount = 50 });
        using HttpResponseMessage response = await small.PostAsync(Completions, """{"prompt":"Hello","max_tokens":400,"n":3}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        string message = await TestServer.AssertErrorAsync(response, "kv_capacity_exceeded");
        Assert.Matches(@"\d+ KV blocks", message);
        Assert.Contains("49", message, StringComparison.Ordinal);
        await small.AskAsync(Completions, """{"prompt":"Hello","max_tokens":200,"n":3}""");
        await small.AssertUnharmedAsync();
    }

    private static string[] Texts(JsonElement answer) => [.. answer.GetProperty("choices").EnumerateArray().Select(static choice =>
        choice.TryGetProperty("text", out JsonElement text) ? text.GetString()! : choice.GetProperty("message").GetProperty("content").GetString()!)];

    private static string? DeltaText(JsonElement choice) =>
        choice.GetProperty("delta").TryGetProperty("content", out JsonElement content) ? content.GetString() : "";

    private static void AssertUsage(JsonElement usage, int prompt, int completion)
    {
        Assert.Equal(prompt, usage.GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(completion, usage.GetProperty("completion_tokens").GetInt32());
        Assert.Equal(prompt + completion, usage.GetProperty("total_tokens").GetInt32());
    }
}
