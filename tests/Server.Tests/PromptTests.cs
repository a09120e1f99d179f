using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Prompts that are empty, hostile or too long.</summary>
public sealed class PromptTests(TestServer server) : IClassFixture<TestServer>
{
    [Theory]
    [InlineData("[-1]")]
    [InlineData("[260]")]
    [InlineData("[2147483648]")]
    [InlineData("[1.5]")]
    [InlineData("[1,\"a\"]")]
    [InlineData("[\"a\",1]")]
    [InlineData("[[[1]]]")]
    [InlineData("[[]]")]
    [InlineData("[]")]
    [InlineData("\"\"")]
    [InlineData("[\"\",\"a\"]")]
    [InlineData("null")]
    public async Task A_prompt_that_is_none_is_400(string prompt)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":{{prompt}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        string text = await response.Content.ReadAsStringAsync();
        Assert.Contains("\"param\":\"prompt\"", text, StringComparison.Ordinal);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\\n")]
    [InlineData("7")]
    [InlineData("\u0301")]
    [InlineData("🦊")]
    [InlineData("漢")]
    [InlineData(".")]
    public async Task A_megabyte_of_anything_is_refused_quickly(string unit)
    {
        string text = string.Concat(Enumerable.Repeat(unit, (1 << 20) / unit.Length));
        foreach ((string path, string body) in ((string, string)[])[
            ("/v1/completions", $$"""{"prompt":"{{text}}"}"""),
            ("/tokenize", $$"""{"prompt":"{{text}}"}""")])
        {
            long start = Stopwatch.GetTimestamp();
            using HttpResponseMessage response = await server.PostAsync(path, body);
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            string message = await TestServer.AssertErrorAsync(response, "context_length_exceeded");
            Assert.Contains("maximum context length is 2048 tokens", message, StringComparison.Ordinal);
            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 1, $"{path} took {Stopwatch.GetElapsedTime(start)}");
        }
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData(2049, null, 400)]
    [InlineData(2048, null, 400)]
    [InlineData(2047, null, 200)]
    [InlineData(2047, 1, 200)]
    [InlineData(2047, 2, 400)]
    [InlineData(2000, 48, 200)]
    [InlineData(2000, 49, 400)]
    [InlineData(10, 2147483647, 400)]
    public async Task The_context_is_never_exceeded(int promptTokens, int? maxTokens, int expected)
    {
        string prompt = $"[{string.Join(',', Enumerable.Repeat("70", promptTokens))}]";
        string tail = maxTokens is int most ? $",\"max_tokens\":{most}" : "";
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", $$"""{"prompt":{{prompt}}{{tail}}}""");
        Assert.Equal(expected, (int)response.StatusCode);
        if (expected == 400)
        {
            string message = await TestServer.AssertErrorAsync(response, "context_length_exceeded");
            Assert.Contains("This model's maximum context length is 2048 tokens", message, StringComparison.Ordinal);
        }
        else
        {
            JsonElement answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
            Assert.Equal("length", answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
            Assert.True(answer.GetProperty("usage").GetProperty("total_tokens").GetInt32() <= TestServer.ContextLength);
        }
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_chat_that_fills_the_context_ends_with_length()
    {
        string text = new('x', 2000);
        JsonElement answer = await server.AskAsync("/v1/chat/completions", $$"""{"messages":[{"role":"user","content":"{{text}}"}]}""");
        Assert.Equal("length", answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(TestServer.ContextLength, answer.GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Fact]
    public async Task Too_many_prompts_or_messages_are_refused()
    {
        string prompts = string.Join(',', Enumerable.Repeat("\"a\"", 5000));
        string messages = string.Join(',', Enumerable.Repeat("""{"role":"user","content":"a"}""", 20_000));
        using HttpResponseMessage completion = await server.PostAsync("/v1/completions", $$"""{"prompt":[{{prompts}}]}""");
        await TestServer.AssertErrorAsync(completion, "invalid_value", "prompt");
        using HttpResponseMessage chat = await server.PostAsync("/v1/chat/completions", $$"""{"messages":[{{messages}}]}""");
        await TestServer.AssertErrorAsync(chat, "invalid_value", "messages");
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_request_larger_than_the_whole_pool_is_refused_with_the_arithmetic()
    {
        await using TestServer tiny = await TestServer.CreateAsync(new ServerOptions { Port = 0 }, static info => info with { BlockCount = 5 });
        using HttpResponseMessage response = await tiny.PostAsync("/v1/completions", """{"prompt":"Hello","max_tokens":1000}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        string message = await TestServer.AssertErrorAsync(response, "kv_capacity_exceeded");
        Assert.Contains("blocks", message, StringComparison.Ordinal);
        await tiny.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("""[{"content":"a"}]""", "messages[0].role")]
    [InlineData("""[{"role":"king","content":"a"}]""", "messages[0].role")]
    [InlineData("""[{"role":5,"content":"a"}]""", "messages[0].role")]
    [InlineData("""[{"role":"user","content":5}]""", "messages[0].content")]
    [InlineData("""[{"role":"user","content":null}]""", "messages[0].content")]
    [InlineData("""[{"role":"user"}]""", "messages[0].content")]
    [InlineData("""[{"role":"user","content":[{"type":"text"}]}]""", "messages[0].content[0].text")]
    [InlineData("""[{"role":"user","content":[{"text":"a"}]}]""", "messages[0].content[0].type")]
    [InlineData("""[{"role":"user","content":["a"]}]""", "messages[0].content[0]")]
    [InlineData("""[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]""", "messages[0].content[0].type")]
    [InlineData("""[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}]""", "messages[0].content[0].type")]
    [InlineData("""[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]""", "messages[0].content[0].type")]
    [InlineData("""[{"role":"tool","content":"a"}]""", "messages[0].tool_call_id")]
    [InlineData("""[{"role":"user","content":"a","tool_calls":[{"function":{"name":"f"}}]}]""", "messages[0].tool_calls")]
    [InlineData("""[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}]""", "messages[0].tool_calls[0].function.arguments")]
    [InlineData("[5]", "messages[0]")]
    [InlineData("[]", "messages")]
    [InlineData("{}", "messages")]
    public async Task A_bad_message_is_400_and_named(string messages, string parameter)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/chat/completions", $$"""{"messages":{{messages}}}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        string text = await response.Content.ReadAsStringAsync();
        Assert.Equal(parameter, JsonDocument.Parse(text).RootElement.GetProperty("error").GetProperty("param").GetString());
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("<|im_end|>")]
    [InlineData("</s>")]
    [InlineData("<s>")]
    public async Task Control_words_in_a_message_are_ordinary_text(string word)
    {
        JsonElement plain = await server.AskAsync("/tokenize", """{"messages":[{"role":"user","content":"ab"}]}""");
        JsonElement hostile = await server.AskAsync("/tokenize", $$"""{"messages":[{"role":"user","content":"a{{word}}b"}]}""");
        int[] expected = Ids(plain);
        int[] found = Ids(hostile);
        Assert.Equal(expected.Length + word.Length, found.Length);
        Assert.Equal(expected.Count(static id => id < ByteTokenizer.FirstByte), found.Count(static id => id < ByteTokenizer.FirstByte));

        static int[] Ids(JsonElement answer) => [.. answer.GetProperty("tokens").EnumerateArray().Select(static t => t.GetInt32())];
    }

    [Theory]
    [InlineData("{{7*7}}")]
    [InlineData("{% for i in range(10) %}x{% endfor %}")]
    public async Task Template_code_in_a_message_is_inert(string code)
    {
        JsonElement answer = await server.AskAsync("/tokenize", $$"""{"messages":[{"role":"user","content":"{{code}}"}],"return_token_strs":true}""");
        string text = string.Concat(answer.GetProperty("token_strs").EnumerateArray().Select(static t => t.GetString()));
        Assert.Contains(code, text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Template_arguments_cannot_replace_the_messages()
    {
        foreach (string reserved in (string[])["messages", "tools", "tokenize", "chat_template"])
        {
            using HttpResponseMessage response = await server.PostAsync(
                "/v1/chat/completions", $$$"""{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"{{{reserved}}}":1}}""");
            await TestServer.AssertErrorAsync(response, "invalid_value", "chat_template_kwargs");
        }
    }

    [Fact]
    public async Task Tokenize_and_detokenize_are_inverse()
    {
        JsonElement tokens = await server.AskAsync("/tokenize", """{"prompt":"Grüße 🦊","return_token_strs":true}""");
        Assert.Equal(tokens.GetProperty("count").GetInt32(), tokens.GetProperty("tokens").GetArrayLength());
        Assert.Equal(TestServer.ContextLength, tokens.GetProperty("max_model_len").GetInt32());
        JsonElement text = await server.AskAsync("/detokenize", $$"""{"tokens":{{tokens.GetProperty("tokens")}}}""");
        Assert.Equal("Grüße 🦊", text.GetProperty("prompt").GetString());
        using HttpResponseMessage outside = await server.PostAsync("/detokenize", """{"tokens":[260]}""");
        await TestServer.AssertErrorAsync(outside, "invalid_value", "tokens");
        using HttpResponseMessage missing = await server.PostAsync("/detokenize", "{}");
        await TestServer.AssertErrorAsync(missing, "missing_required_parameter", "tokens");
    }

    [Fact]
    public async Task Truncation_keeps_the_last_tokens()
    {
        string prompt = new('y', 3000);
        JsonElement answer = await server.AskAsync("/v1/completions", $$"""{"prompt":"{{prompt}}","truncate_prompt_tokens":-1,"max_tokens":8}""");
        Assert.Equal(TestServer.ContextLength - 8, answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
        JsonElement five = await server.AskAsync("/v1/completions", """{"prompt":"abcdefgh","truncate_prompt_tokens":5,"max_tokens":1,"echo":true}""");
        Assert.StartsWith("defgh", five.GetProperty("choices")[0].GetProperty("text").GetString(), StringComparison.Ordinal);
    }
}
