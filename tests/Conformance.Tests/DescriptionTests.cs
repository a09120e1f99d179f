using System.Text.Json;
using NativeLM.Server.Tests;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Conformance.Tests;

/// <summary>Every answer and every chunk against OpenAI's own description of its API.</summary>
public sealed class DescriptionTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Chat = """{"model":"test-model","messages":[{"role":"user","content":"Hello"}],"max_tokens":25""";

    [Theory]
    [InlineData("")]
    [InlineData(",\"logprobs\":true,\"top_logprobs\":2")]
    [InlineData(",\"stop\":\"fox\"")]
    [InlineData(",\"n\":3,\"logprobs\":true")]
    [InlineData(",\"n\":2,\"include_sharing_report\":true")]
    public async Task Chat_answers_fit(string options)
    {
        AssertFits(await server.AskAsync("/v1/chat/completions", Chat + options + "}"), "CreateChatCompletionResponse");
    }

    [Theory]
    [InlineData("")]
    [InlineData(",\"logprobs\":true,\"top_logprobs\":2")]
    [InlineData(",\"stream_options\":{\"include_usage\":true}")]
    [InlineData(",\"n\":3")]
    [InlineData(",\"n\":2,\"logprobs\":true,\"top_logprobs\":1,\"stream_options\":{\"include_usage\":true}")]
    public async Task Chat_chunks_fit(string options)
    {
        List<string> events = await server.StreamAsync("/v1/chat/completions", Chat + options + ",\"stream\":true}");
        foreach (string chunk in events.SkipLast(1))
            // The description leaves usage out of its nullable fields, the recorded traffic has it null in every chunk.
            AssertFits(JsonDocument.Parse(chunk.Replace(",\"usage\":null", "", StringComparison.Ordinal)).RootElement,
                "CreateChatCompletionStreamResponse");
    }

    [Theory]
    [InlineData("")]
    [InlineData(",\"logprobs\":3")]
    [InlineData(",\"n\":3,\"best_of\":4,\"logprobs\":1")]
    [InlineData(",\"n\":2,\"use_beam_search\":true")]
    public async Task Completions_fit(string options) =>
        AssertFits(await server.AskAsync("/v1/completions", $$"""{"prompt":"Hello"{{options}}}"""), "CreateCompletionResponse");

    [Fact]
    public async Task Models_fit()
    {
        JsonElement models = JsonDocument.Parse(await server.Http.GetStringAsync("/v1/models")).RootElement;
        AssertFits(models, "ListModelsResponse");
        AssertFits(models.GetProperty("data")[0], "Model");
    }

    private static void AssertFits(JsonElement value, string schema)
    {
        string path = TestData.Require("openai_api/openapi_subset_chat_completions_models_embeddings_responses.json");
        using JsonDocument description = JsonDocument.Parse(File.ReadAllBytes(path));
        string? wrong = new SchemaCheck(description.RootElement.GetProperty("components").GetProperty("schemas")).Check(value, schema);
        Assert.True(wrong is null, $"{schema}: {wrong}\n{value}");
    }
}
