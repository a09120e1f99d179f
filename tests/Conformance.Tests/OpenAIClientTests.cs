using System.ClientModel;
using NativeLM.Server;
using NativeLM.Server.Tests;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;
using Xunit;

namespace NativeLM.Conformance.Tests;

/// <summary>The official OpenAI client for .NET against a running server.</summary>
public sealed class OpenAIClientTests : IAsyncLifetime
{
    private const string Key = "sk-conformance";
    private TestServer _server = null!;

    public async ValueTask InitializeAsync() =>
        _server = await TestServer.CreateAsync(new ServerOptions { Port = 0, ApiKeys = [Key], ServedModelNames = ["test-model", "org/model"] });

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task A_chat_completes()
    {
        ChatCompletionOptions options = new()
        {
            MaxOutputTokenCount = 20,
            Temperature = 0.5f,
            TopP = 0.9f,
            EndUserId = "someone",
            FrequencyPenalty = 0.1f,
        };
#pragma warning disable OPENAI001 // The client marks the seed as experimental; the server has it.
        options.Seed = 7;
#pragma warning restore OPENAI001
        ChatCompletion completion = await Chat().CompleteChatAsync([new SystemChatMessage("Be brief."), new UserChatMessage("Hello!")], options);
        Assert.Equal(ChatMessageRole.Assistant, completion.Role);
        Assert.Equal(ChatFinishReason.Length, completion.FinishReason);
        Assert.NotEqual("", completion.Content.Single().Text);
        Assert.Null(completion.Refusal);
        Assert.Equal(20, completion.Usage.OutputTokenCount);
        Assert.Equal(completion.Usage.InputTokenCount + 20, completion.Usage.TotalTokenCount);
        Assert.Equal(0, completion.Usage.InputTokenDetails.CachedTokenCount);
        Assert.Equal(0, completion.Usage.OutputTokenDetails.ReasoningTokenCount);
        Assert.Equal("test-model", completion.Model);
        Assert.StartsWith("chatcmpl-", completion.Id, StringComparison.Ordinal);
        Assert.True(DateTimeOffset.UtcNow - completion.CreatedAt < TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_streamed_chat_gives_the_same_text_and_the_usage()
    {
        ChatMessage[] messages = [new UserChatMessage("Tell me something.")];
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 50, Temperature = 0 };
        ChatCompletion plain = await Chat().CompleteChatAsync(messages, options);
        string text = "";
        ChatTokenUsage? usage = null;
        ChatFinishReason? finish = null;
        await foreach (StreamingChatCompletionUpdate update in Chat().CompleteChatStreamingAsync(messages, options))
        {
            text += string.Concat(update.ContentUpdate.Select(static part => part.Text));
            usage = update.Usage ?? usage;
            finish = update.FinishReason ?? finish;
        }
        Assert.Equal(plain.Content[0].Text, text);
        Assert.Equal(ChatFinishReason.Length, finish);
        Assert.Equal(50, usage!.OutputTokenCount);
    }

    [Fact]
    public async Task Log_probabilities_are_read()
    {
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 5, IncludeLogProbabilities = true, TopLogProbabilityCount = 3 };
        ChatCompletion completion = await Chat().CompleteChatAsync([new UserChatMessage("Hello!")], options);
        Assert.Equal(5, completion.ContentTokenLogProbabilities.Count);
        Assert.All(completion.ContentTokenLogProbabilities, static token => Assert.Equal(3, token.TopLogProbabilities.Count));
        Assert.All(completion.ContentTokenLogProbabilities, static token => Assert.True(token.LogProbability < 0));
    }

    [Fact]
    public async Task Stop_texts_end_the_output()
    {
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 200, Temperature = 0 };
        options.StopSequences.Add("fox");
        ChatCompletion completion = await Chat().CompleteChatAsync([new UserChatMessage("Hello!")], options);
        Assert.Equal(ChatFinishReason.Stop, completion.FinishReason);
        Assert.DoesNotContain("fox", completion.Content.Count == 0 ? "" : completion.Content[0].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Models_are_listed_and_found()
    {
        OpenAIModelClient client = new(new ApiKeyCredential(Key), Options());
        OpenAIModelCollection models = await client.GetModelsAsync();
        Assert.Equal(["test-model", "org/model"], models.Select(static model => model.Id));
        OpenAIModel model = await client.GetModelAsync("org/model");
        Assert.Equal("nativelm", model.OwnedBy);
        ClientResultException missing = await Assert.ThrowsAsync<ClientResultException>(async () => await client.GetModelAsync("nope"));
        Assert.Equal(404, missing.Status);
    }

    [Theory]
    [InlineData("nope", Key, 404, "model_not_found")]
    [InlineData("test-model", "sk-wrong-key-000000", 401, "invalid_api_key")]
    public async Task Errors_reach_the_caller(string model, string key, int status, string code)
    {
        ClientResultException failure = await Assert.ThrowsAsync<ClientResultException>(
            async () => await new ChatClient(model, new ApiKeyCredential(key), Options()).CompleteChatAsync(new UserChatMessage("Hello!")));
        Assert.Equal(status, failure.Status);
        Assert.Contains(code, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_supported_yet_is_a_clear_400()
    {
        ChatCompletionOptions options = new();
        options.Tools.Add(ChatTool.CreateFunctionTool("weather"));
        ClientResultException failure = await Assert.ThrowsAsync<ClientResultException>(
            async () => await Chat().CompleteChatAsync([new UserChatMessage("Hello!")], options));
        Assert.Equal(400, failure.Status);
        Assert.Contains("tools", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelling_a_stream_frees_every_block()
    {
        _server.Executor.StepTime = TimeSpan.FromMilliseconds(2);
        using CancellationTokenSource stop = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            int updates = 0;
            ChatCompletionOptions options = new() { MaxOutputTokenCount = 1500 };
            await foreach (StreamingChatCompletionUpdate _ in Chat().CompleteChatStreamingAsync([new UserChatMessage("Hello!")], options, stop.Token))
                if (++updates == 5)
                    await stop.CancelAsync();
        });
        _server.Http.DefaultRequestHeaders.Authorization = new("Bearer", Key);
        await _server.AssertIdleAsync();
    }

    private ChatClient Chat() => new("test-model", new ApiKeyCredential(Key), Options());

    private OpenAIClientOptions Options() => new()
    {
        Endpoint = new Uri(_server.Address, "/v1"),
        RetryPolicy = new System.ClientModel.Primitives.ClientRetryPolicy(0),
    };
}
