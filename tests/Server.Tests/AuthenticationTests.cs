using System.Net;
using System.Text;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>With a key configured, nothing but /health answers without it.</summary>
public sealed class AuthenticationTests : IAsyncLifetime
{
    private const string Key = "sk-right-key-0123456789";
    private TestServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await TestServer.CreateAsync(new ServerOptions { Port = 0, ApiKeys = [new("first", Key), new("second", "second-key")] });

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Every_route_but_health_needs_a_key()
    {
        int routes = 0;
        foreach (string route in _server.Host.Router.Routes)
        {
            string[] parts = route.Split(' ');
            using HttpRequestMessage request = new(new HttpMethod(parts[0]), parts[1].Replace("*", "x", StringComparison.Ordinal));
            using HttpResponseMessage response = await _server.Http.SendAsync(request);
            Assert.Equal(parts[1] == "/health" ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, response.StatusCode);
            routes++;
        }
        Assert.True(routes >= 10);
    }

    [Theory]
    [InlineData("/nope")]
    [InlineData("//v1/models")]
    [InlineData("/v1/%6dodels")]
    [InlineData("/V1/models")]
    [InlineData("/v1/models/")]
    [InlineData("/health/")]
    [InlineData("/HEALTH")]
    [InlineData("/health%2f..%2fmetrics")]
    [InlineData("/health/../metrics")]
    public async Task Unknown_paths_need_a_key_too(string path)
    {
        using RawConnection connection = new(_server.Address);
        string answer = await Task.Run(() => connection.Exchange($"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        Assert.Equal(401, RawConnection.Status(answer));
        Assert.Contains("WWW-Authenticate: Bearer", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Authorization: Bearer " + Key, 200)]
    [InlineData("Authorization: bearer " + Key, 200)]
    [InlineData("Authorization: Bearer second-key", 200)]
    [InlineData("x-api-key: " + Key, 200)]
    [InlineData("api-key: " + Key, 200)]
    [InlineData("Authorization: Bearer wrong", 401)]
    [InlineData("Authorization: Bearer sk-right-key-012345678", 401)]
    [InlineData("Authorization: Bearer " + Key + "1", 401)]
    [InlineData("Authorization: Basic c2s6c2s=", 401)]
    [InlineData("Authorization: " + Key, 401)]
    [InlineData("Authorization: Bearer", 401)]
    [InlineData("Authorization: Bearer " + Key + "\r\nAuthorization: Bearer " + Key, 401)]
    [InlineData("x-api-key: " + Key + "\r\nx-api-key: " + Key, 401)]
    public async Task Keys_are_checked_whole(string header, int expected)
    {
        using RawConnection connection = new(_server.Address);
        string answer = await Task.Run(() => connection.Exchange($"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"));
        Assert.Equal(expected, RawConnection.Status(answer));
    }

    [Fact]
    public async Task A_key_in_the_query_does_not_count()
    {
        using HttpResponseMessage response = await _server.Http.GetAsync($"/v1/models?api_key={Key}&key={Key}");
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
    }

    [Fact]
    public async Task A_key_of_20_kilobytes_is_refused()
    {
        using RawConnection connection = new(_server.Address);
        string answer = await Task.Run(() =>
            connection.Exchange($"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {new string('k', 20 << 10)}\r\n\r\n"));
        Assert.True(RawConnection.Status(answer) is 401 or 431, answer);
    }

    [Fact]
    public async Task The_words_of_a_refusal_are_those_clients_look_for()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/v1/models");
        request.Headers.Add("Authorization", "Bearer not-a-real-key-at-all");
        using HttpResponseMessage response = await _server.Http.SendAsync(request);
        string message = await TestServer.AssertErrorAsync(response, "invalid_api_key");
        Assert.StartsWith("Incorrect API key provided: not", message, StringComparison.Ordinal);
        Assert.DoesNotContain("real-key", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refused_body_is_not_read()
    {
        using RawConnection connection = new(_server.Address);
        string answer = await Task.Run(() =>
            connection.Exchange("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"));
        Assert.Equal(401, RawConnection.Status(answer));
    }

    [Fact]
    public void An_address_others_can_reach_needs_a_key()
    {
        Assert.Throws<ArgumentException>(static () => new ServerOptions { Host = "0.0.0.0" }.Validate());
        Assert.Throws<ArgumentException>(static () => new ServerOptions { Host = "::" }.Validate());
        new ServerOptions { Host = "0.0.0.0", ApiKeys = [new("only", "k")] }.Validate();
        new ServerOptions { Host = "0.0.0.0", AllowUnauthenticated = true }.Validate();
        new ServerOptions { Host = "::1" }.Validate();
    }

    [Fact]
    public async Task The_key_works_for_a_generation()
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent("""{"prompt":"a","max_tokens":1}""", Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("Authorization", $"Bearer {Key}");
        using HttpResponseMessage response = await _server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }
}
