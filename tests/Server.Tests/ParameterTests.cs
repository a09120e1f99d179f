using System.Net;
using System.Text.Json;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Types and ranges of every field: out of range is 400 with the field named, in range is served.</summary>
public sealed class ParameterTests(TestServer server) : IClassFixture<TestServer>
{
    [Theory]
    [InlineData("model", "5")]
    [InlineData("prompt", "5")]
    [InlineData("prompt", "{}")]
    [InlineData("prompt", "[true]")]
    [InlineData("prompt", "[[\"a\"]]")]
    [InlineData("max_tokens", "\"5\"")]
    [InlineData("max_tokens", "1.5")]
    [InlineData("max_tokens", "true")]
    [InlineData("temperature", "\"hot\"")]
    [InlineData("temperature", "[1]")]
    [InlineData("top_p", "{}")]
    [InlineData("top_k", "2.5")]
    [InlineData("n", "\"1\"")]
    [InlineData("stop", "5")]
    [InlineData("stop", "[5]")]
    [InlineData("stream", "\"true\"")]
    [InlineData("stream", "1")]
    [InlineData("stream_options", "true")]
    [InlineData("logprobs", "true")]
    [InlineData("echo", "\"yes\"")]
    [InlineData("seed", "\"abc\"")]
    [InlineData("seed", "1.5")]
    [InlineData("logit_bias", "[1]")]
    [InlineData("logit_bias", "{\"5\":\"x\"}")]
    [InlineData("logit_bias", "{\"5\":null}")]
    [InlineData("presence_penalty", "\"1\"")]
    [InlineData("stop_token_ids", "5")]
    [InlineData("stop_token_ids", "[\"5\"]")]
    [InlineData("allowed_token_ids", "{}")]
    [InlineData("min_tokens", "\"1\"")]
    [InlineData("ignore_eos", "0")]
    [InlineData("response_format", "\"json\"")]
    [InlineData("tools", "{}")]
    [InlineData("best_of", "2.5")]
    [InlineData("best_of", "{}")]
    [InlineData("use_beam_search", "\"yes\"")]
    [InlineData("length_penalty", "\"1\"")]
    [InlineData("early_stopping", "1")]
    [InlineData("early_stopping", "[]")]
    [InlineData("priority", "0.5")]
    [InlineData("priority", "\"high\"")]
    [InlineData("cache_salt", "5")]
    [InlineData("deadline_ms", "\"1s\"")]
    [InlineData("deadline_ms", "1.5")]
    [InlineData("include_sharing_report", "1")]
    [InlineData("user", "\"x\"", true)]
    public async Task A_wrong_type_is_400_and_named(string field, string value, bool isValid = false)
    {
        if (isValid)
        {
            await server.AskAsync("/v1/completions", $$"""{"prompt":"a","max_tokens":1,"{{field}}":{{value}}}""");
            return;
        }
        string rest = field == "prompt" ? "" : "\"prompt\":\"a\",";
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{{{rest}}"{{field}}":{{value}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "invalid_type", field);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("n", "0")]
    [InlineData("n", "-1")]
    [InlineData("n", "1000000000")]
    [InlineData("n", "2147483648")]
    [InlineData("n", "9223372036854775808")]
    [InlineData("n", "1e30")]
    [InlineData("best_of", "0")]
    [InlineData("best_of", "1000000000")]
    [InlineData("max_tokens", "-1")]
    [InlineData("max_tokens", "0")]
    [InlineData("max_tokens", "2147483648")]
    [InlineData("max_tokens", "9223372036854775808")]
    [InlineData("temperature", "-0.1")]
    [InlineData("temperature", "2.1")]
    [InlineData("temperature", "1e39")]
    [InlineData("temperature", "1e400")]
    [InlineData("top_p", "-0.1")]
    [InlineData("top_p", "0")]
    [InlineData("top_p", "1.1")]
    [InlineData("min_p", "2")]
    [InlineData("min_p", "-0.5")]
    [InlineData("top_k", "-2")]
    [InlineData("top_k", "2147483648")]
    [InlineData("presence_penalty", "2.1")]
    [InlineData("presence_penalty", "-2.1")]
    [InlineData("frequency_penalty", "2.1")]
    [InlineData("repetition_penalty", "0")]
    [InlineData("repetition_penalty", "-1")]
    [InlineData("repetition_penalty", "1e38")]
    [InlineData("logprobs", "-1")]
    [InlineData("logprobs", "21")]
    [InlineData("logprobs", "1000000")]
    [InlineData("prompt_logprobs", "-1")]
    [InlineData("prompt_logprobs", "21")]
    [InlineData("logit_bias", "{\"-1\":1}")]
    [InlineData("logit_bias", "{\"260\":1}")]
    [InlineData("logit_bias", "{\"4294967296\":1}")]
    [InlineData("logit_bias", "{\"abc\":1}")]
    [InlineData("logit_bias", "{\"5\":101}")]
    [InlineData("logit_bias", "{\"5\":1,\"05\":1}")]
    [InlineData("seed", "9223372036854775808")]
    [InlineData("seed", "1e30")]
    [InlineData("stop", "\"\"")]
    [InlineData("stop", "[\"\"]")]
    [InlineData("stop_token_ids", "[]")]
    [InlineData("stop_token_ids", "[260]")]
    [InlineData("stop_token_ids", "[-1]")]
    [InlineData("allowed_token_ids", "[]")]
    [InlineData("allowed_token_ids", "[4294967296]")]
    [InlineData("min_tokens", "-1")]
    [InlineData("min_tokens", "17")]
    [InlineData("truncate_prompt_tokens", "-2")]
    [InlineData("truncate_prompt_tokens", "0")]
    [InlineData("truncate_prompt_tokens", "1180591620717411303424")]
    [InlineData("priority", "1180591620717411303424")]
    [InlineData("stream_options", "{\"include_usage\":true}")]
    [InlineData("tool_choice", "\"auto\"")]
    [InlineData("request_id", "\"a b\"")]
    [InlineData("priority", "2147483648")]
    [InlineData("priority", "-2147483649")]
    [InlineData("n", "129")]
    [InlineData("best_of", "129")]
    [InlineData("best_of", "-1")]
    [InlineData("length_penalty", "10.1")]
    [InlineData("length_penalty", "-10.1")]
    [InlineData("length_penalty", "1e400")]
    [InlineData("early_stopping", "\"always\"")]
    [InlineData("early_stopping", "\"Never\"")]
    [InlineData("deadline_ms", "0")]
    [InlineData("deadline_ms", "-5")]
    [InlineData("deadline_ms", "86400001")]
    [InlineData("deadline_ms", "9223372036854775808")]
    [InlineData("cache_salt", "\"\"")]
    public async Task A_value_out_of_range_is_400_and_named(string field, string value)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":"a","{{field}}":{{value}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "invalid_value", field);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("temperature", "1e-38")]
    [InlineData("temperature", "1e-5")]
    [InlineData("temperature", "2")]
    [InlineData("top_p", "1e-9")]
    [InlineData("top_p", "1e-60")]
    [InlineData("top_k", "2147483647")]
    [InlineData("top_k", "-1")]
    [InlineData("top_k", "0")]
    [InlineData("seed", "-1")]
    [InlineData("seed", "9223372036854775807")]
    [InlineData("max_tokens", "4.0")]
    [InlineData("n", "1")]
    [InlineData("best_of", "1")]
    [InlineData("logit_bias", "{\"5\":-100,\"6\":100}")]
    [InlineData("stop", "[]")]
    [InlineData("stop", "null")]
    [InlineData("tools", "[]")]
    [InlineData("suffix", "\"\"")]
    [InlineData("response_format", "{\"type\":\"text\"}")]
    [InlineData("priority", "-5")]
    [InlineData("use_beam_search", "false")]
    [InlineData("n", "64")]
    [InlineData("n", "2.0")]
    [InlineData("best_of", "2")]
    [InlineData("length_penalty", "1")]
    [InlineData("early_stopping", "false")]
    [InlineData("priority", "-2147483648")]
    [InlineData("priority", "2147483647")]
    [InlineData("cache_salt", "\"tenant\"")]
    [InlineData("deadline_ms", "86400000")]
    [InlineData("include_sharing_report", "true")]
    [InlineData("parallel_tool_calls", "true")]
    [InlineData("metadata", "{\"a\":\"b\"}")]
    [InlineData("store", "true")]
    public async Task A_value_in_range_is_served(string field, string value)
    {
        await server.AskAsync("/v1/completions", $$"""{"prompt":"a","{{field}}":{{value}}}""");
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("suffix", "\"x\"")]
    [InlineData("prompt_embeds", "\"AAAA\"")]
    [InlineData("audio", "{\"voice\":\"x\"}")]
    [InlineData("modalities", "[\"audio\"]")]
    [InlineData("response_format", "{\"type\":\"json_object\"}")]
    [InlineData("response_format", "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":{}}}")]
    [InlineData("structured_outputs", "{\"regex\":\"a\"}")]
    [InlineData("guided_json", "{\"type\":\"object\"}")]
    [InlineData("guided_regex", "\"(a+)+$\"")]
    [InlineData("guided_grammar", "\"root ::= root\"")]
    [InlineData("grammar", "\"root ::= root\"")]
    [InlineData("json_schema", "{\"type\":\"object\"}")]
    [InlineData("bad_words", "[\"x\"]")]
    [InlineData("tools", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]")]
    [InlineData("functions", "[{\"name\":\"f\"}]")]
    [InlineData("function_call", "\"auto\"")]
    [InlineData("repetition_detection", "{\"max_pattern_size\":3}")]
    [InlineData("chat_template", "\"{{ 7 * 7 }}\"")]
    [InlineData("spaces_between_special_tokens", "false")]
    public async Task What_would_change_the_result_and_is_not_supported_is_refused(string field, string value)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":"a","{{field}}":{{value}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "unsupported_parameter", field);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Long_lists_are_refused()
    {
        string stops = $"[{string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"\"s{i}\""))}]";
        string biases = $"{{{string.Join(',', Enumerable.Range(0, 200_000).Select(i => $"\"{i}\":1"))}}}";
        string longStop = $"\"{new string('s', 1 << 20)}\"";
        foreach ((string field, string value) in ((string, string)[])[("stop", stops), ("logit_bias", biases), ("stop", longStop),
            ("user", longStop), ("suffix", longStop), ("cache_salt", longStop), ("early_stopping", longStop)])
        {
            using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":"a","{{field}}":{{value}}}""");
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        }
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("\"nope\"", 404)]
    [InlineData("\"../../etc/passwd\"", 404)]
    [InlineData("\"a\\r\\nX-Evil: 1\"", 404)]
    [InlineData("\"\"", 404)]
    [InlineData("\"alias\"", 200)]
    [InlineData("null", 200)]
    public async Task An_unknown_model_is_404(string model, int expected)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"model":{{model}},"prompt":"a","max_tokens":1}""");
        Assert.Equal(expected, (int)response.StatusCode);
        if (expected == 404)
            await TestServer.AssertErrorAsync(response, "model_not_found", "model");
        Assert.False(response.Headers.Contains("X-Evil"));
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_huge_model_name_is_400()
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"model":"{{new string('m', 1 << 20)}}","prompt":"a"}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, "invalid_value", "model");
    }

    [Fact]
    public async Task A_bad_parameter_with_stream_is_a_plain_400()
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", """{"prompt":"a","stream":true,"temperature":9}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
    }

    [Fact]
    public async Task Missing_fields_are_named()
    {
        using HttpResponseMessage completion = await server.PostAsync("/v1/completions", "{}");
        await TestServer.AssertErrorAsync(completion, "missing_required_parameter", "prompt");
        using HttpResponseMessage chat = await server.PostAsync("/v1/chat/completions", "{}");
        await TestServer.AssertErrorAsync(chat, "missing_required_parameter", "messages");
    }

    [Fact]
    public async Task Locale_and_time_zone_change_nothing()
    {
        System.Globalization.CultureInfo before = System.Globalization.CultureInfo.CurrentCulture;
        System.Globalization.CultureInfo german = (System.Globalization.CultureInfo)System.Globalization.CultureInfo.InvariantCulture.Clone();
        german.NumberFormat.NumberDecimalSeparator = ",";
        german.NumberFormat.NegativeSign = "−";
        System.Globalization.CultureInfo.DefaultThreadCurrentCulture = german;
        try
        {
            JsonElement answer = await server.AskAsync("/v1/completions", """{"prompt":"a","max_tokens":1,"temperature":0.5,"logprobs":1}""");
            Assert.Equal(-0.25, answer.GetProperty("choices")[0].GetProperty("logprobs").GetProperty("token_logprobs")[0].GetDouble());
            Assert.DoesNotContain(",", (await server.GaugesAsync()).Keys.First(), StringComparison.Ordinal);
            await server.AssertUnharmedAsync();
        }
        finally
        {
            System.Globalization.CultureInfo.DefaultThreadCurrentCulture = before;
        }
    }
}
