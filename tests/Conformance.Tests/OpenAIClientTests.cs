using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
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
        _server = await TestServer.CreateAsync(new ServerOptions { Port = 0, ApiKeys = [new("conformance", Key)], ServedModelNames = ["test-model", "org/model"] });

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

    /// <summary>The client's types show the first choice; the answer behind them has both.</summary>
    [Fact]
    public async Task Two_choices_of_a_chat_are_read()
    {
        ClientResult<ChatCompletion> result = await Chat().CompleteChatAsync([new UserChatMessage("Hello!")], TwoChoices());
        using JsonDocument answer = JsonDocument.Parse(result.GetRawResponse().Content);
        JsonElement choices = answer.RootElement.GetProperty("choices");
        Assert.Equal([0, 1], choices.EnumerateArray().Select(static choice => choice.GetProperty("index").GetInt32()));
        Assert.NotEqual(Content(choices[0]), Content(choices[1]));
        Assert.Equal(Content(choices[0]), result.Value.Content[0].Text);
        Assert.Equal(60, result.Value.Usage.OutputTokenCount);

        static string? Content(JsonElement choice) => choice.GetProperty("message").GetProperty("content").GetString();
    }

    [Fact]
    public async Task Two_streamed_choices_are_those_of_the_plain_answer()
    {
        ClientResult<ChatCompletion> plain = await Chat().CompleteChatAsync([new UserChatMessage("Hello!")], TwoChoices());
        using JsonDocument answer = JsonDocument.Parse(plain.GetRawResponse().Content);
        string[] texts = ["", ""];
        List<int> ends = [];
        await foreach (StreamingChatCompletionUpdate update in Chat().CompleteChatStreamingAsync([new UserChatMessage("Hello!")], TwoChoices()))
        {
            using JsonDocument chunk = JsonDocument.Parse(ModelReaderWriter.Write(update));
            if (chunk.RootElement.GetProperty("choices").GetArrayLength() == 0)
                continue;
            int index = chunk.RootElement.GetProperty("choices")[0].GetProperty("index").GetInt32();
            texts[index] += string.Concat(update.ContentUpdate.Select(static part => part.Text));
            if (update.FinishReason is not null)
                ends.Add(index);
        }
        Assert.Equal([0, 1], ends.Order());
        for (int i = 0; i < texts.Length; i++)
            Assert.Equal(answer.RootElement.GetProperty("choices")[i].GetProperty("message").GetProperty("content").GetString(), texts[i]);
    }

    /// <summary>The client has no types for completions; its pipeline carries any request.</summary>
    [Theory]
    [InlineData("\"n\":2", 2, 40)]
    [InlineData("\"n\":1,\"best_of\":3", 1, 60)]
    [InlineData("\"n\":2,\"use_beam_search\":true", 2, 40)]
    public async Task Completions_have_as_many_choices_as_asked(string options, int count, int tokens)
    {
        ClientPipeline pipeline = Chat().Pipeline;
        using PipelineMessage message = pipeline.CreateMessage();
        message.Request.Method = "POST";
        message.Request.Uri = new Uri(_server.Address, "/v1/completions");
        message.Request.Headers.Set("Content-Type", "application/json");
        message.Request.Content = BinaryContent.Create(BinaryData.FromString($$"""{"prompt":"Hello","max_tokens":20,{{options}}}"""));
        await pipeline.SendAsync(message);
        using JsonDocument answer = JsonDocument.Parse(message.Response!.Content);
        Assert.Equal(200, message.Response.Status);
        Assert.Equal(count, answer.RootElement.GetProperty("choices").GetArrayLength());
        Assert.Equal(tokens, answer.RootElement.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
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

    private static ChatCompletionOptions TwoChoices()
    {
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 30, Temperature = 1 };
#pragma warning disable SCME0001 // Fields that the client has no property for.
        options.Patch.Set("$.n"u8, 2);
#pragma warning restore SCME0001
        return options;
    }

    private ChatClient Chat() => new("test-model", new ApiKeyCredential(Key), Options());

    private OpenAIClientOptions Options() => new()
    {
        Endpoint = new Uri(_server.Address, "/v1"),
        RetryPolicy = new ClientRetryPolicy(0),
    };
}
