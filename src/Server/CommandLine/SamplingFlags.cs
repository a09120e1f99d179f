using System.CommandLine;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>How to draw, for the commands that write text in the terminal. Absent flags keep the model's own defaults.</summary>
internal sealed class SamplingFlags
{
    private readonly Option<float?> _temperature = Flag.Of<float?>("--temperature", "0 is greedy; up to 2.");
    private readonly Option<float?> _topP = Flag.Of<float?>("--top-p", "Nucleus mass, above 0 up to 1.");
    private readonly Option<int?> _topK = Flag.Of<int?>("--top-k", "Draw from the k best tokens; 0 is off.");
    private readonly Option<float?> _minP = Flag.Of<float?>("--min-p", "Least probability relative to the best token, 0 to 1.");
    private readonly Option<float?> _repetitionPenalty = Flag.Of<float?>("--repetition-penalty",
        "Above 1 discourages tokens seen before; 0.01 to 10.");
    private readonly Option<int?> _maxTokens = Flag.Of<int?>("--max-tokens", "Most output tokens. Default: what the context leaves.", "-n");
    private readonly Option<long?> _sampleSeed = Flag.Of<long?>("--sample-seed", "Same seed, same text.");

    public SamplingFlags(Command command)
    {
        foreach (Option option in (Option[])[_temperature, _topP, _topK, _minP, _repetitionPenalty, _maxTokens, _sampleSeed])
            command.Add(option);
    }

    public SamplingParams Read(ParseResult parsed, SamplingParams defaults)
    {
        Require(parsed.GetValue(_temperature) is null or (>= 0 and <= 2), "--temperature must be from 0 to 2");
        Require(parsed.GetValue(_topP) is null or (> 0 and <= 1), "--top-p must be above 0 and at most 1");
        Require(parsed.GetValue(_topK) is null or >= 0, "--top-k must be at least 0");
        Require(parsed.GetValue(_minP) is null or (>= 0 and <= 1), "--min-p must be from 0 to 1");
        Require(parsed.GetValue(_repetitionPenalty) is null or (>= 0.01f and <= 10), "--repetition-penalty must be from 0.01 to 10");
        Require(parsed.GetValue(_maxTokens) is null or >= 1, "--max-tokens must be at least 1");
        return defaults with
        {
            Temperature = parsed.GetValue(_temperature) ?? defaults.Temperature,
            TopP = parsed.GetValue(_topP) ?? defaults.TopP,
            TopK = parsed.GetValue(_topK) ?? defaults.TopK,
            MinP = parsed.GetValue(_minP) ?? defaults.MinP,
            RepetitionPenalty = parsed.GetValue(_repetitionPenalty) ?? defaults.RepetitionPenalty,
            MaxTokens = parsed.GetValue(_maxTokens) ?? defaults.MaxTokens,
            Seed = parsed.GetValue(_sampleSeed) is long seed ? unchecked((ulong)seed) : defaults.Seed,
        };
    }

    private static void Require(bool ok, string message)
    {
        if (!ok)
            throw new UsageException(message);
    }
}
