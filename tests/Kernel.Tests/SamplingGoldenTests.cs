using System.Text.Json;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Distributions computed by Hugging Face's logits processors, through the sampler's processed logits.</summary>
public sealed class SamplingGoldenTests
{
    // Filters that the engine turns into a mask before sampling, or does not offer.
    private static readonly HashSet<string> NotTheSamplers = ["bad_words", "no_repeat_ngram", "min_new_tokens", "typical_p"];

    public static IEnumerable<TheoryDataRow<string>> Each => Targets.Each;

    [Theory, MemberData(nameof(Each))]
    public void Filtered_distributions_equal_those_of_hugging_face(string target)
    {
        using JsonDocument file = JsonDocument.Parse(File.ReadAllText(TestData.RequireGolden("sampling.json")));
        using Rig rig = new(target);
        JsonElement rows = file.RootElement.GetProperty("rows");
        int compared = 0;
        foreach (JsonElement test in file.RootElement.GetProperty("cases").EnumerateArray())
        {
            JsonElement parameters = test.GetProperty("params");
            if (parameters.EnumerateObject().Any(p => NotTheSamplers.Contains(p.Name)))
                continue;
            float[] logits = [.. rows.GetProperty(test.GetProperty("row").GetString()!).GetProperty("logits").EnumerateArray()
                .Select(v => v.ValueKind == JsonValueKind.Null ? float.NegativeInfinity : v.GetSingle())];
            Compare(test, Run(rig, test, parameters, logits));
            compared++;
        }
        Assert.True(compared >= 300, $"only {compared} cases were compared");
    }

    private static double[] Run(Rig rig, JsonElement test, JsonElement parameters, float[] logits)
    {
        float Value(string name, float neutral) => parameters.TryGetProperty(name, out JsonElement v) ? v.GetSingle() : neutral;
        SamplerRow row = new()
        {
            Logits = logits,
            Prompt = [.. test.GetProperty("prompt").EnumerateArray().Select(v => v.GetInt32())],
            Output = [.. test.GetProperty("generated").EnumerateArray().Select(v => v.GetInt32())],
            Allowed = parameters.TryGetProperty("allowed_token_ids", out JsonElement ids) ? [.. ids.EnumerateArray().Select(v => v.GetInt32())] : null,
            Bias = parameters.TryGetProperty("logit_bias", out JsonElement bias)
                ? [.. bias.EnumerateObject().Select(b => (int.Parse(b.Name), b.Value.GetSingle()))] : [],
            Parameters = SamplerRow.Neutral with
            {
                Temperature = Value("temperature", 1),
                TopK = (int)Value("top_k", 0),
                TopP = Value("top_p", 1),
                MinP = Value("min_p", 0),
                RepetitionPenalty = Value("repetition_penalty", 1),
                PresencePenalty = Value("presence_penalty", 0),
                FrequencyPenalty = Value("frequency_penalty", 0),
            },
        };
        SamplerAnswer answer = SamplerBatch.Run(rig, row);
        double[] probability = Reference.Softmax([.. answer.Processed.Select(v => (double)v)]);
        Assert.True(probability[answer.Results[0].Token] > 0, $"{test.GetProperty("name")}: drew a removed token");
        return probability;
    }

    private static void Compare(JsonElement test, double[] got)
    {
        string name = test.GetProperty("name").GetString()!;
        double tolerance = test.GetProperty("tol").GetDouble();
        double[] want = new double[got.Length];
        foreach (JsonElement pair in test.GetProperty("probs").EnumerateArray())
            want[pair[0].GetInt32()] = pair[1].GetDouble();
        if (test.GetProperty("tie_sensitive").GetBoolean())
        {
            Array.Sort(want);
            Array.Sort(got);
        }
        for (int i = 0; i < got.Length; i++)
            Assert.True(Math.Abs(want[i] - got[i]) <= tolerance, $"{name}, token {i}: found {got[i]:g9}, needed {want[i]:g9} within {tolerance}");
        // A kept token may be as improbable as 1e-300, so count kept logits, not positive float probabilities, only where it is decidable.
        if (want.Where(p => p > 0).Min() > 1e-30)
            Assert.True(want.Count(p => p > 0) == got.Count(p => p > 0), $"{name}: found {got.Count(p => p > 0)} tokens kept, needed {want.Count(p => p > 0)}");
    }
}
