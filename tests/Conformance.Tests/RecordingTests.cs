using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using NativeLM.Server.Tests;
using NativeLM.Tests;
using Xunit;

namespace NativeLM.Conformance.Tests;

/// <summary>Recorded traffic with OpenAI: our server reads every request, and its answers have the recorded fields with the recorded types.</summary>
public sealed class RecordingTests(TestServer server) : IClassFixture<TestServer>
{
    /// <summary>Fields of a service, not of a model, that we do not send.</summary>
    private static readonly string[] NotOurs = ["obfuscation", "tool_calls", "function_call"];

    public static TheoryData<string> Recordings()
    {
        TheoryData<string> names = [];
        string? root = TestData.DataOrNull;
        foreach (string folder in (string[])["ChatTests", "ChatToolTests"])
            foreach (string file in root is null ? [] : Directory.GetFiles(Path.Combine(root, "openai_recordings", folder), "*.json")
                .Order(StringComparer.Ordinal).ToArray())
                names.Add($"openai_recordings/{folder}/{Path.GetFileName(file)}");
        if (names.Count == 0)
            names.Add("openai_recordings/ChatTests");
        return names;
    }

    [Theory]
    [MemberData(nameof(Recordings))]
    public async Task Recorded_requests_are_answered_in_the_recorded_shape(string recording)
    {
        string path = TestData.Require(recording);
        JsonNode document = JsonNode.Parse(await File.ReadAllTextAsync(path))!;
        foreach (JsonNode? entry in document["Entries"]!.AsArray())
            if (entry!["RequestMethod"]!.GetValue<string>() == "POST" && entry["RequestUri"]!.GetValue<string>()
                .EndsWith("/v1/chat/completions", StringComparison.Ordinal))
                await CompareAsync(entry);
    }

    private async Task CompareAsync(JsonNode entry)
    {
        JsonObject request = entry["RequestBody"]!.DeepClone().AsObject();
        request["model"] = "test-model";
        request["max_tokens"] = 8;
        request.Remove("max_completion_tokens");
        using HttpResponseMessage response = await server.PostAsync("/v1/chat/completions", request.ToJsonString());
        string text = await response.Content.ReadAsStringAsync();
        if (request.ContainsKey("tools") || request.ContainsKey("functions")
            || request["response_format"]?["type"]?.GetValue<string>() is "json_object" or "json_schema")
        {
            // Read and understood, and refused by name until it is supported.
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            Assert.Contains("unsupported_parameter", text, StringComparison.Ordinal);
            return;
        }
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        if (entry["StatusCode"]!.GetValue<int>() != 200)
            return;
        if (entry["ResponseBody"] is JsonArray recorded)
            CompareChunks(recorded, text);
        else
            AssertCovers(JsonDocument.Parse(entry["ResponseBody"]!.ToJsonString()).RootElement, JsonDocument.Parse(text).RootElement, "$");
    }

    private static void CompareChunks(JsonArray recorded, string text)
    {
        JsonElement[] theirs = Chunks(string.Concat(recorded.Select(static e => e!.GetValue<string>())));
        JsonElement[] ours = Chunks(text);
        // The first chunk, one with text, the one that ends, and the one with usage.
        AssertCovers(theirs[0], ours[0], "first");
        AssertCovers(theirs[1], ours[1], "text");
        AssertCovers(theirs[^2], ours[^2], "end");
        AssertCovers(theirs[^1], ours[^1], "usage");
        Assert.EndsWith("data: [DONE]\n\n", text, StringComparison.Ordinal);

        static JsonElement[] Chunks(string stream) => [.. stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)
            .Where(static e => e.StartsWith("data: {", StringComparison.Ordinal))
            .Select(static e => JsonDocument.Parse(e["data: ".Length..]).RootElement)];
    }

    /// <summary>Every recorded field is in our answer with the same kind of value.</summary>
    private static void AssertCovers(JsonElement recorded, JsonElement ours, string path)
    {
        Assert.True(recorded.ValueKind == ours.ValueKind, $"{path}: recorded {recorded.ValueKind}, ours {ours.ValueKind}");
        if (recorded.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty property in recorded.EnumerateObject().Where(static p => !NotOurs.Contains(p.Name)))
            {
                Assert.True(ours.TryGetProperty(property.Name, out JsonElement value), $"{path}.{property.Name} is missing");
                AssertCovers(property.Value, value, $"{path}.{property.Name}");
            }
        if (recorded.ValueKind == JsonValueKind.Array && recorded.GetArrayLength() > 0 && ours.GetArrayLength() > 0)
            AssertCovers(recorded[0], ours[0], $"{path}[0]");
    }
}
