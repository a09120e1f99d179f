using System.Text.Json;
using NativeLM.Engine;

namespace NativeLM.Tests;

/// <summary>One beam search of a golden case: what was asked, and what transformers found, best first.</summary>
/// <param name="Setting">Which of the settings that each prompt was searched with.</param>
internal sealed record GoldenBeams(
    int Setting, int[] Prompt, int Width, float LengthPenalty, EarlyStopping EarlyStopping, int EndId, int OutputMax, int[][] Sequences,
    float[] Scores)
{
    /// <summary>Reads all searches of goldens.json, prompt by prompt.</summary>
    public static List<GoldenBeams> Read(string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file));
        return [.. document.RootElement.GetProperty("prompts").EnumerateArray().SelectMany(prompt => prompt.GetProperty("beams").EnumerateArray()
            .Select((beams, setting) => Read(setting, GoldenPrompt.Ints(prompt.GetProperty("ids")), beams)))];
    }

    private static GoldenBeams Read(int setting, int[] prompt, JsonElement beams) => new(
        setting, prompt, beams.GetProperty("num_beams").GetInt32(), (float)beams.GetProperty("length_penalty").GetDouble(),
        beams.GetProperty("early_stopping").ValueKind switch
        {
            JsonValueKind.True => EarlyStopping.Yes,
            JsonValueKind.False => EarlyStopping.No,
            _ => EarlyStopping.Never,
        },
        beams.GetProperty("eos_token_id").GetInt32(), beams.GetProperty("max_new_tokens").GetInt32(),
        [.. beams.GetProperty("sequences").EnumerateArray().Select(GoldenPrompt.Ints)], GoldenPrompt.Floats(beams.GetProperty("scores")));
}
