using System.Diagnostics;
using System.Net;
using System.Text;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Bodies that are not the JSON object we need: always 400 with the error object.</summary>
public sealed class JsonTests(TestServer server) : IClassFixture<TestServer>
{
    public static TheoryData<string, string> NotJson() => new()
    {
        { "empty", "" },
        { "null", "null" },
        { "array", "[]" },
        { "number", "42" },
        { "truncated", """{"prompt":"a" """ },
        { "trailing comma", """{"prompt":"a",}""" },
        { "trailing garbage", """{"prompt":"a"} x""" },
        { "comment", """{"prompt":"a" /* c */}""" },
        { "two documents", """{"prompt":"a"}{"prompt":"b"}""" },
        { "single quotes", "{'prompt':'a'}" },
        { "NaN", """{"prompt":"a","temperature":NaN}""" },
        { "Infinity", """{"prompt":"a","temperature":Infinity}""" },
        { "leading zero", """{"prompt":"a","max_tokens":01}""" },
        { "raw control character", "{\"prompt\":\"a\nb\"}" },
        { "duplicate key", """{"prompt":"a","prompt":"b"}""" },
        { "duplicate key of another type", """{"prompt":"a","max_tokens":1,"max_tokens":"1"}""" },
        { "duplicate key by escape", """{"prompt":"a","\u0070rompt":"b"}""" },
        { "duplicate key below an ignored field", """{"prompt":"a","x":{"b":1,"b":2}}""" },
        { "unfinished escape", """{"prompt":"\u12"}""" },
        { "unknown escape", """{"prompt":"\x41"}""" },
        { "plus sign", """{"prompt":"a","max_tokens":+1}""" },
        { "dot without digits", """{"prompt":"a","temperature":1.}""" },
    };

    [Theory]
    [MemberData(nameof(NotJson))]
    public async Task Bodies_that_are_no_json_object_are_400(string name, string body)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", body);
        Assert.True(response.StatusCode == HttpStatusCode.BadRequest, $"{name}: {response.StatusCode}");
        await TestServer.AssertErrorAsync(response, "invalid_json");
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("{\"prompt\":\"\xff\"}")]
    [InlineData("{\"prompt\":\"\xc0\xaf\"}")]
    [InlineData("{\"prompt\":\"\xe2\x82\"}")]
    [InlineData("{\"prompt\":\"\xed\xa0\x80\"}")]
    [InlineData("\xff\xfe{\0}\0")]
    public async Task Invalid_utf8_is_400(string latin1)
    {
        using ByteArrayContent content = new(Encoding.Latin1.GetBytes(latin1));
        content.Headers.ContentType = new("application/json");
        using HttpResponseMessage response = await server.Http.PostAsync("/v1/completions", content);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("""{"prompt":"\ud800"}""")]
    [InlineData("""{"prompt":["a","\udc00"]}""")]
    [InlineData("""{"prompt":"a","\ud800":1}""")]
    [InlineData("""{"prompt":"a","stop":"\ud800"}""")]
    [InlineData("""{"prompt":"a","user":"\ud800"}""")]
    [InlineData("""{"prompt":"a","logit_bias":{"\ud800":1}}""")]
    [InlineData("""{"prompt":"a","x":{"\ud800":1,"\ud801":1}}""")]
    public async Task Unpaired_surrogates_are_400_or_ignored(string body)
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", body);
        Assert.True(response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.OK, $"{response.StatusCode}");
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData('[', "")]
    [InlineData('{', "")]
    [InlineData('[', "\"x\":")]
    public async Task Deep_nesting_is_400(char open, string prefix)
    {
        string nest = open == '[' ? new string('[', 100_000) : string.Concat(Enumerable.Repeat("{\"a\":", 100_000));
        string body = prefix.Length == 0 ? nest : $"{{\"prompt\":\"a\",{prefix}{nest}";
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", body);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Nul_in_a_prompt_is_served()
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", """{"prompt":"a\u0000b","max_tokens":2}""");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Many_unknown_keys_and_huge_keys_cost_little()
    {
        string many = $"{{\"prompt\":\"a\",{string.Join(',', Enumerable.Range(0, 100_000).Select(i => $"\"k{i}\":{i}"))}}}";
        string huge = $"{{\"prompt\":\"a\",\"{new string('k', 1 << 20)}\":1,\"max_tokens\":1}}";
        foreach (string body in (string[])[many, huge])
        {
            long start = Stopwatch.GetTimestamp();
            using HttpResponseMessage response = await server.PostAsync("/v1/completions", body);
            Assert.True(response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.OK);
            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 2);
        }
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Unknown_fields_are_ignored()
    {
        using HttpResponseMessage response = await server.PostAsync("/v1/completions", """{"prompt":"a","max_tokens":1,"no_such_field":{"a":[1]},"user":"me"}""");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Fact]
    public async Task Random_bodies_never_cause_a_server_error()
    {
        Random random = new(7);
        byte[] seed = Encoding.UTF8.GetBytes("""{"model":"test-model","prompt":["a","b"],"max_tokens":2,"temperature":0.5,"stop":["x"],"logit_bias":{"5":1.5},"stream":false,"n":1}""");
        for (int i = 0; i < 500; i++)
        {
            byte[] body = [.. seed];
            for (int change = random.Next(1, 4); change > 0; change--)
                body[random.Next(body.Length)] = (byte)(random.Next(2) == 0 ? random.Next(256) : "{}[]\",:0123456789-eE.nulltrue\\"[random.Next(30)]);
            using ByteArrayContent content = new(body);
            content.Headers.ContentType = new("application/json");
            using HttpResponseMessage response = await server.Http.PostAsync("/v1/completions", content);
            Assert.True((int)response.StatusCode < 500, $"{response.StatusCode} for {Encoding.Latin1.GetString(body)}");
        }
        await server.AssertUnharmedAsync();
    }
}
