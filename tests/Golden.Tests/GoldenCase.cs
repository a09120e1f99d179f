using System.Text.Json;

namespace NativeLM.Tests;

/// <summary>One prompt of a golden case: what transformers computed in float32.</summary>
internal sealed record GoldenPrompt(int[] Ids, float[] LastLogits, float[] HiddenLast, float[] PromptLogprobs, int[] Greedy, float[][] TopLogprobs)
{
    /// <summary>Reads the four prompts of goldens.json.</summary>
    public static List<GoldenPrompt> Read(string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file));
        return [.. document.RootElement.GetProperty("prompts").EnumerateArray().Select(prompt => new GoldenPrompt(
            Ints(prompt.GetProperty("ids")), Floats(prompt.GetProperty("last_logits")), Floats(prompt.GetProperty("hidden_last")),
            Floats(prompt.GetProperty("prompt_logprobs")), Ints(prompt.GetProperty("greedy").GetProperty("tokens")),
            [.. prompt.GetProperty("greedy").GetProperty("top5_logprobs").EnumerateArray().Select(Floats)]))];
    }

    public static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(item => item.GetInt32())];

    public static float[] Floats(JsonElement list) =>
        [.. list.EnumerateArray().Select(item => item.ValueKind == JsonValueKind.Null ? float.NaN : (float)item.GetDouble())];
}
