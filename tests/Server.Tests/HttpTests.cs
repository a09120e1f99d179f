using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Malformed HTTP over raw sockets: answered or closed, never a crash, never a 5xx.</summary>
public sealed class HttpTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Body = """{"prompt":"Hello","max_tokens":4,"temperature":0}""";

    public static TheoryData<string, string, int[]> Malformed()
    {
        string post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
        return new()
        {
            { "random bytes", "\x00\x01\xfe\xff\x80garbage\r\n\r\n", [400, 0] },
            { "TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + new string('\x7f', 64), [400, 0] },
            { "HTTP/0.9", "GET /health\r\n\r\n", [400, 0] },
            { "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 505, 0] },
            { "HTTP/9.9", "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", [505, 400, 0] },
            { "no Host", "GET /health HTTP/1.1\r\n\r\n", [400] },
            { "two Hosts", "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", [400] },
            { "Host a/b@c", "GET /health HTTP/1.1\r\nHost: a/b@c\r\n\r\n", [400] },
            { "long request line", $"GET /{new string('a', 20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n", [414] },
            { "one huge header", $"GET /health HTTP/1.1\r\nHost: localhost\r\nX: {new string('a', 256 << 10)}\r\n\r\n", [431] },
            { "5000 headers", $"GET /health HTTP/1.1\r\nHost: localhost\r\n{string.Concat(Enumerable.Range(0, 5000).Select(i => $"X{i}: 1\r\n"))}\r\n", [431] },
            { "NUL in a header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", [400] },
            { "bare CR in a header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", [400] },
            { "folded header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", [400] },
            { "space before colon", "GET /health HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n", [400] },
            { "Content-Length twice", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", [400] },
            { "Content-Length list", post + "Content-Length: 5, 6\r\n\r\n", [400] },
            { "Content-Length -1", post + "Content-Length: -1\r\n\r\n", [400] },
            { "Content-Length +5", post + "Content-Length: +5\r\n\r\n12345", [400] },
            { "Content-Length 0x10", post + "Content-Length: 0x10\r\n\r\n", [400] },
            { "Content-Length empty", post + "Content-Length: \r\n\r\n", [400] },
            { "Content-Length above 2^63", post + "Content-Length: 99999999999999999999\r\n\r\n", [400] },
            { "Content-Length 10 GB", post + "Content-Length: 10000000000\r\n\r\n{", [413] },
            { "unknown transfer coding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400] },
            { "chunked not last", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", [400] },
            { "chunk size ZZ", chunked + "ZZ\r\n{}\r\n0\r\n\r\n", [400] },
            { "chunk size -2", chunked + "-2\r\n{}\r\n0\r\n\r\n", [400] },
            { "chunk without CRLF", chunked + "2\r\n{}0\r\n\r\n", [400] },
            { "bare LF in a chunk extension", chunked + "2;a=b\n{}\r\n0\r\n\r\n", [400] },
            { "chunk size 80000000", chunked + "80000000\r\n{}", [400] },
            { "chunk size above 64 bits", chunked + "FFFFFFFFFFFFFFFFF\r\n{}", [400] },
            { "method of 300 bytes", $"{new string('A', 300)} /health HTTP/1.1\r\nHost: localhost\r\n\r\n", [405, 400] },
            { "TRACE", "TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", [405] },
            { "CONNECT", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", [404, 405, 400] },
            { "dot segments", "GET /v1/../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", [404, 400] },
            { "encoded dot segments", "GET /v1/%2e%2e/health HTTP/1.1\r\nHost: localhost\r\n\r\n", [404, 400] },
            { "encoded NUL", "GET /health%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", [404, 400] },
            { "backslashes", "GET /v1\\..\\models HTTP/1.1\r\nHost: localhost\r\n\r\n", [404, 400] },
            { "foreign Host", "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", [400] },
        };
    }

    [Theory]
    [MemberData(nameof(Malformed), DisableDiscoveryEnumeration = true)]
    public async Task Malformed_http_is_answered_or_closed(string name, string bytes, int[] expected)
    {
        using RawConnection connection = new(server.Address);
        string answer = connection.Exchange(bytes);
        Assert.True(expected.Contains(RawConnection.Status(answer)), $"{name}: {answer}");
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_smuggled_request_is_never_served()
    {
        using RawConnection connection = new(server.Address);
        string answer = connection.Exchange(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "0\r\n\r\nGET /version HTTP/1.1\r\nHost: localhost\r\n\r\n", 500);
        answer += connection.Read(500);
        Assert.DoesNotContain("\"version\"", answer, StringComparison.Ordinal);
        Assert.True(RawConnection.Status(answer) is 400 or 0, answer);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Many_tiny_chunks_are_read_quickly()
    {
        StringBuilder request =
            new("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        string body = Body + new string(' ', 300_000);
        foreach (char c in body)
            request.Append("1\r\n").Append(c).Append("\r\n");
        request.Append("0\r\n\r\n");
        using RawConnection connection = new(server.Address);
        string answer = connection.Exchange(request.ToString(), 5000);
        Assert.True(RawConnection.Status(answer) is 200 or 400, answer);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Half_a_body_then_an_end_harms_nobody()
    {
        string half = $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {Body.Length}\r\n\r\n{Body[..10]}";
        using (RawConnection finished = new(server.Address))
        {
            finished.Send(half);
            finished.Socket.Shutdown(SocketShutdown.Send);
            Assert.True(RawConnection.Status(finished.Read()) is 0 or 400);
        }
        RawConnection reset = new(server.Address);
        reset.Send(half);
        reset.Reset();
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_stalled_body_is_answered_408()
    {
        using RawConnection connection = new(server.Address);
        string answer = await Task.Run(() => connection.Exchange(
            $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {Body.Length}\r\n\r\n{Body[..10]}", 15_000));
        Assert.Equal(408, RawConnection.Status(answer));
        Assert.Contains("request_timeout", answer, StringComparison.Ordinal);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Stalled_connections_delay_nobody()
    {
        List<RawConnection> stalled = [];
        for (int i = 0; i < 100; i++)
        {
            RawConnection connection = new(server.Address);
            connection.Send(i % 2 == 0 ? "POST /v1/comp" : "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
            stalled.Add(connection);
        }
        await server.AssertUnharmedAsync();
        stalled.ForEach(static connection => connection.Dispose());
    }

    [Theory]
    [InlineData("text/plain", 415)]
    [InlineData("multipart/form-data; boundary=x", 415)]
    [InlineData("application/json; charset=utf-16", 415)]
    [InlineData("application/x-www-form-urlencoded", 415)]
    [InlineData("application/json; charset=utf-8", 200)]
    [InlineData(null, 200)]
    public async Task Only_json_in_utf8_is_read(string? type, int expected)
    {
        using ByteArrayContent content = new(Encoding.UTF8.GetBytes(Body));
        if (type is not null)
            content.Headers.TryAddWithoutValidation("Content-Type", type);
        using HttpResponseMessage response = await server.Http.PostAsync("/v1/completions", content);
        Assert.Equal(expected, (int)response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Compressed_bodies_are_refused_unread()
    {
        using ByteArrayContent content = new([0x1f, 0x8b, 8, 0]);
        content.Headers.ContentType = new("application/json");
        content.Headers.ContentEncoding.Add("gzip");
        using HttpResponseMessage response = await server.Http.PostAsync("/v1/completions", content);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
        await server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("GET", "/v1/completions", "POST")]
    [InlineData("PUT", "/v1/chat/completions", "POST")]
    [InlineData("DELETE", "/v1/models", "GET, HEAD")]
    [InlineData("POST", "/health", "GET, HEAD")]
    [InlineData("DELETE", "/v1/models/test", "GET")]
    public async Task A_wrong_method_is_405_and_names_the_right_one(string method, string path, string allow)
    {
        using HttpResponseMessage response = await server.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));
        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.StartsWith(allow, string.Join(", ", response.Content.Headers.Allow), StringComparison.Ordinal);
        await TestServer.AssertErrorAsync(response, "method_not_allowed");
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/v1/model")]
    [InlineData("/V1/models")]
    [InlineData("/v1/models/")]
    [InlineData("//v1/models")]
    [InlineData("/v1/%6dodels")]
    [InlineData("/health/")]
    [InlineData("/sleep")]
    [InlineData("/v1/load_lora_adapter")]
    public async Task Routes_are_matched_letter_for_letter(string path)
    {
        using RawConnection connection = new(server.Address);
        string answer = connection.Exchange($"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Equal(404, RawConnection.Status(answer));
        Assert.Contains("\"code\":\"not_found\"", answer, StringComparison.Ordinal);
        await server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Head_answers_like_get_without_a_body()
    {
        using HttpResponseMessage response = await server.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/v1/models"));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Headers_name_the_request_and_not_the_software()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/v1/models");
        request.Headers.Add("X-Request-Id", "my-request.1");
        request.Headers.Add("Origin", "http://evil.example");
        using HttpResponseMessage response = await server.Http.SendAsync(request);
        Assert.Equal("my-request.1", response.Headers.GetValues("X-Request-Id").Single());
        Assert.False(response.Headers.Contains("Server"));
        Assert.False(response.Headers.Contains("Access-Control-Allow-Origin"));
        Assert.True(long.Parse(response.Headers.GetValues("openai-processing-ms").Single(), CultureInfo.InvariantCulture) >= 0);
    }

    [Fact]
    public async Task A_malformed_request_id_is_replaced()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/v1/models");
        request.Headers.Add("X-Request-Id", "a b<script>");
        using HttpResponseMessage response = await server.Http.SendAsync(request);
        Assert.Matches("^[0-9a-f]{32}$", response.Headers.GetValues("X-Request-Id").Single());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_above_the_limit_is_413(bool chunked)
    {
        await using TestServer small =
            await TestServer.CreateAsync(new ServerOptions { Port = 0, Limits = new RequestLimits { BodyBytesMax = 1000 } });
        using RawConnection connection = new(small.Address);
        string framing = chunked ? "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" : "Content-Length: 2000\r\n\r\n";
        string answer = connection.Exchange($"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}{new string(' ', 2000)}\r\n0\r\n\r\n");
        Assert.Equal(413, RawConnection.Status(answer));
        Assert.Contains("request_too_large", answer, StringComparison.Ordinal);
        await small.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Models_are_listed_and_found_by_name()
    {
        JsonElement list = await server.Http.GetFromJsonAsync<JsonElement>("/v1/models");
        JsonElement card = list.GetProperty("data")[0];
        Assert.Equal("list", list.GetProperty("object").GetString());
        Assert.Equal("model", card.GetProperty("object").GetString());
        Assert.Equal("nativelm", card.GetProperty("owned_by").GetString());
        Assert.Equal(TestServer.ContextLength, card.GetProperty("max_model_len").GetInt32());
        JsonElement one = await server.Http.GetFromJsonAsync<JsonElement>($"/v1/models/{card.GetProperty("id").GetString()}");
        Assert.Equal(card.GetProperty("id").GetString(), one.GetProperty("id").GetString());
        using HttpResponseMessage missing = await server.Http.GetAsync("/v1/models/nope");
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        await TestServer.AssertErrorAsync(missing, "model_not_found", "model");
    }

    [Fact]
    public async Task Version_load_and_metrics_answer()
    {
        JsonElement version = await server.Http.GetFromJsonAsync<JsonElement>("/version");
        Assert.Equal(BuildInfo.Version, version.GetProperty("version").GetString());
        JsonElement load = await server.Http.GetFromJsonAsync<JsonElement>("/load");
        Assert.Equal(0, load.GetProperty("server_load").GetInt64());
        string metrics = await server.Http.GetStringAsync("/metrics");
        Assert.Contains("# TYPE vllm:num_requests_running gauge", metrics, StringComparison.Ordinal);
        Assert.Contains("vllm:time_to_first_token_seconds_bucket{model_name=\"test-model\",engine=\"0\",le=\"+Inf\"}", metrics,
            StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", metrics, StringComparison.Ordinal);
    }
}
