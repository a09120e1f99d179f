using System.Net;
using System.Text.Json;
using NativeLM.Server.Http;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>The prefix cache as clients see it, and prefixes kept by name.</summary>
public sealed class PrefixTests : IAsyncLifetime
{
    private const string Completions = "/v1/completions";
    private const string Prefixes = "/nativelm/prefixes";
    private static readonly string Long = string.Concat(Enumerable.Range(0, 30).Select(static i => $"line {i}, "));
    private TestServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await TestServer.CreateAsync(new ServerOptions
    {
        Port = 0,
        EnablePrefixRegistration = true,
        Limits = new RequestLimits { SharedPrefixesMax = 3 },
    });

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task A_prompt_seen_before_comes_from_the_cache_and_gives_the_same_text()
    {
        (string first, int none) = await AskAsync(Long);
        (string again, int cached) = await AskAsync(Long);
        Assert.Equal(first, again);
        Assert.Equal(0, none);
        Assert.Equal((Long.Length - 1) / 16 * 16, cached);
        (_, int other) = await AskAsync(Long, ",\"cache_salt\":\"of my own\"");
        Assert.Equal(0, other);
        (_, int own) = await AskAsync(Long, ",\"cache_salt\":\"of my own\"");
        Assert.Equal(cached, own);
        Dictionary<string, double> series = await _server.GaugesAsync();
        Assert.True(series["vllm:prefix_cache_hits_total"] >= 2 * cached);
        Assert.True(series["vllm:prefix_cache_queries_total"] > series["vllm:prefix_cache_hits_total"]);
        Assert.Equal(2 * cached, series["vllm:prompt_tokens_cached_total"]);
        Assert.True(series["nativelm:kv_blocks_evictable"] > 0);
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_reset_empties_the_cache()
    {
        await AskAsync(Long);
        using (HttpResponseMessage reset = await _server.PostAsync("/reset_prefix_cache", "{}"))
            Assert.Equal(HttpStatusCode.OK, reset.StatusCode);
        (_, int cached) = await AskAsync(Long);
        Assert.Equal(0, cached);
    }

    [Fact]
    public async Task A_prefix_is_registered_listed_hit_and_released()
    {
        JsonElement card = await _server.AskAsync(Prefixes, $$"""{"name":"my.prefix-1","prompt":"{{Long}}"}""");
        Assert.Equal("prefix", card.GetProperty("object").GetString());
        Assert.Equal(("my.prefix-1", Long.Length, Long.Length / 16),
            (card.GetProperty("name").GetString(), card.GetProperty("tokens").GetInt32(), card.GetProperty("blocks").GetInt32()));
        Assert.Equal(Long.Length / 16, (await _server.GaugesAsync())["nativelm:kv_blocks_used"]);
        JsonElement listed = Assert.Single(await ListAsync());
        Assert.True(JsonElement.DeepEquals(card, listed));
        (_, int cached) = await AskAsync(Long + "and more");
        Assert.Equal(Long.Length / 16 * 16, cached);
        using (HttpResponseMessage released = await _server.Http.DeleteAsync($"{Prefixes}/my.prefix-1"))
            Assert.Equal("""{"name":"my.prefix-1","object":"prefix","deleted":true}""", await released.Content.ReadAsStringAsync());
        Assert.Empty(await ListAsync());
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Messages_can_be_a_prefix()
    {
        string system = $$"""{"role":"system","content":"{{Long}}"}""";
        JsonElement card = await _server.AskAsync(Prefixes, $$"""{"name":"chat","messages":[{{system}}]}""");
        JsonElement answer = await _server.AskAsync("/v1/chat/completions",
            $$$"""{"messages":[{{{system}}},{"role":"user","content":"Hello"}],"max_tokens":5}""");
        Assert.Equal(card.GetProperty("blocks").GetInt32() * 16,
            answer.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        await ReleaseAsync("chat");
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Registered_prefixes_stay_while_others_are_evicted()
    {
        await _server.AskAsync(Prefixes, $$"""{"name":"kept","prompt":"{{Long}}"}""");
        // 1,024 blocks of 16: these prompts do not fit beside one another.
        for (int i = 0; i < 12; i++)
            await _server.AskAsync(Completions, $$"""{"prompt":"{{new string((char)('a' + i), 1900)}}","max_tokens":1}""");
        (_, int cached) = await AskAsync(Long + "!");
        Assert.Equal(Long.Length / 16 * 16, cached);
        await ReleaseAsync("kept");
        await _server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("{}", "missing_required_parameter", "name")]
    [InlineData("""{"name":"a"}""", "missing_required_parameter", "prompt")]
    [InlineData("""{"name":5,"prompt":"x"}""", "invalid_type", "name")]
    [InlineData("""{"name":"","prompt":"x"}""", "invalid_value", "name")]
    [InlineData("""{"name":"a b","prompt":"x"}""", "invalid_value", "name")]
    [InlineData("""{"name":"a/b","prompt":"x"}""", "invalid_value", "name")]
    [InlineData("""{"name":"é","prompt":"x"}""", "invalid_value", "name")]
    [InlineData("""{"name":"a","prompt":["x","y"]}""", "invalid_value", "prompt")]
    [InlineData("""{"name":"a","prompt":"x","messages":[{"role":"user","content":"x"}]}""", "invalid_value", "prompt")]
    [InlineData("""{"name":"a","messages":[]}""", "invalid_value", "messages")]
    [InlineData("""{"name":"a","prompt":"x","cache_salt":""}""", "invalid_value", "cache_salt")]
    [InlineData("""{"name":"a","prompt":[260]}""", "invalid_value", "prompt")]
    public async Task What_cannot_be_registered_is_400(string body, string code, string field)
    {
        using HttpResponseMessage response = await _server.PostAsync(Prefixes, body);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await TestServer.AssertErrorAsync(response, code, field);
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_name_of_a_megabyte_and_a_prompt_beyond_the_context_are_400()
    {
        using HttpResponseMessage name = await _server.PostAsync(Prefixes, $$"""{"name":"{{new string('n', 1 << 20)}}","prompt":"x"}""");
        await TestServer.AssertErrorAsync(name, "invalid_value", "name");
        using HttpResponseMessage prompt = await _server.PostAsync(Prefixes, $$"""{"name":"a","prompt":"{{new string('p', 5000)}}"}""");
        await TestServer.AssertErrorAsync(prompt, "context_length_exceeded");
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_taken_name_and_a_prefix_without_a_full_block_are_400()
    {
        await _server.AskAsync(Prefixes, $$"""{"name":"twice","prompt":"{{Long}}"}""");
        using HttpResponseMessage twice = await _server.PostAsync(Prefixes, $$"""{"name":"twice","prompt":"{{Long}} other"}""");
        Assert.Equal(HttpStatusCode.BadRequest, twice.StatusCode);
        using HttpResponseMessage small = await _server.PostAsync(Prefixes, """{"name":"small","prompt":"x"}""");
        Assert.Equal(HttpStatusCode.BadRequest, small.StatusCode);
        Assert.Single(await ListAsync());
        await ReleaseAsync("twice");
        await _server.AssertUnharmedAsync();
    }

    [Fact]
    public async Task The_number_of_prefixes_is_bounded_however_many_come_at_once()
    {
        HttpResponseMessage[] answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(i =>
            _server.PostAsync(Prefixes, $$"""{"name":"p{{i}}","prompt":"{{i}} {{Long}}"}""")));
        Assert.Equal(3, (await ListAsync()).Length);
        foreach (HttpResponseMessage answer in answers.Where(static a => a.StatusCode != HttpStatusCode.OK))
            Assert.Contains("at most 3", await TestServer.AssertErrorAsync(answer, "invalid_value", "name"), StringComparison.Ordinal);
        foreach (JsonElement card in await ListAsync())
            await ReleaseAsync(card.GetProperty("name").GetString()!);
        await _server.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("nope")]
    [InlineData("a%20b")]
    [InlineData("a%2Fb")]
    [InlineData("..")]
    public async Task Releasing_what_is_not_there_is_404(string name)
    {
        using RawConnection connection = new(_server.Address);
        string answer = await Task.Run(() => connection.Exchange($"DELETE {Prefixes}/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        Assert.Equal(404, RawConnection.Status(answer));
    }

    [Fact]
    public async Task Keys_see_and_release_their_own_prefixes_only()
    {
        await using TestServer server = await TestServer.CreateAsync(new ServerOptions
        {
            Port = 0,
            EnablePrefixRegistration = true,
            ApiKeys = [new ApiKey("ann", "ann-key"), new ApiKey("bob", "bob-key")],
        });
        await server.AsAsync("ann-key", () => server.AskAsync(Prefixes, $$"""{"name":"system","prompt":"{{Long}}"}"""));
        await server.AsAsync("bob-key", async () =>
        {
            Assert.Equal("""{"data":[],"object":"list"}""", await server.Http.GetStringAsync(Prefixes));
            using HttpResponseMessage foreign = await server.Http.DeleteAsync($"{Prefixes}/system");
            Assert.Equal(HttpStatusCode.NotFound, foreign.StatusCode);
            JsonElement miss = await server.AskAsync(Completions, $$"""{"prompt":"{{Long}}","max_tokens":1}""");
            Assert.Equal(0, Cached(miss));
            await server.AskAsync(Prefixes, $$"""{"name":"system","prompt":"Bob's {{Long}}"}""");
            using HttpResponseMessage own = await server.Http.DeleteAsync($"{Prefixes}/system");
            Assert.Equal(HttpStatusCode.OK, own.StatusCode);
            return true;
        });
        await server.AsAsync("ann-key", async () =>
        {
            JsonElement hit = await server.AskAsync(Completions, $$"""{"prompt":"{{Long}} more","max_tokens":1}""");
            Assert.Equal(Long.Length / 16 * 16, Cached(hit));
            using HttpResponseMessage own = await server.Http.DeleteAsync($"{Prefixes}/system");
            Assert.Equal(HttpStatusCode.OK, own.StatusCode);
            await server.AssertUnharmedAsync();
            return true;
        });
    }

    [Fact]
    public async Task Without_the_switch_there_are_no_such_routes()
    {
        await using TestServer server = await TestServer.CreateAsync(new ServerOptions { Port = 0 });
        foreach (string path in (string[])[Prefixes, "/reset_prefix_cache"])
        {
            using HttpResponseMessage response = await server.PostAsync(path, "{}");
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        }
    }

    private async Task<(string Text, int Cached)> AskAsync(string prompt, string options = "")
    {
        JsonElement answer = await _server.AskAsync(Completions, $$"""{"prompt":"{{prompt}}","max_tokens":10,"temperature":0{{options}}}""");
        return (answer.GetProperty("choices")[0].GetProperty("text").GetString()!, Cached(answer));
    }

    private static int Cached(JsonElement answer) =>
        answer.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();

    private async Task<JsonElement[]> ListAsync() =>
        [.. JsonDocument.Parse(await _server.Http.GetStringAsync(Prefixes)).RootElement.GetProperty("data").EnumerateArray()];

    private async Task ReleaseAsync(string name)
    {
        using HttpResponseMessage response = await _server.Http.DeleteAsync($"{Prefixes}/{name}");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }
}
