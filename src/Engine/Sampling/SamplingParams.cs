namespace NativeLM.Engine;

/// <summary>How tokens of one request are drawn. Immutable; ranges are those of the HTTP API (docs/api.md).</summary>
public sealed record SamplingParams
{
    /// <summary>0 (below 1e-5) is greedy; at most 2.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Nucleus mass in (0, 1].</summary>
    public float TopP { get; init; } = 1;

    /// <summary>0: off.</summary>
    public int TopK { get; init; }

    /// <summary>Least probability relative to the best token, in [0, 1].</summary>
    public float MinP { get; init; }

    /// <summary>Divides (positive) or multiplies (negative) the logits of tokens seen in prompt or output.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted once from the logits of tokens in the output.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted per occurrence from the logits of tokens in the output.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Added to logits before everything else.</summary>
    public IReadOnlyList<KeyValuePair<int, float>> LogitBias { get; init; } = [];

    /// <summary>If not empty, only these ids can be drawn.</summary>
    public IReadOnlyList<int> AllowedTokenIds { get; init; } = [];

    /// <summary>Seed of the counter-based generator; null: drawn by the engine.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Most output tokens; null: what the context leaves.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>No end token (EOS or stop id) can be drawn before this many output tokens.</summary>
    public int MinTokens { get; init; }

    /// <summary>Goes on past EOS.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>Ids that end the output besides EOS.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Alternatives reported per output token (0..20); null: no log-probabilities at all.</summary>
    public int? Logprobs { get; init; }

    /// <summary>Alternatives reported per prompt token (0..20); null: none.</summary>
    public int? PromptLogprobs { get; init; }

    /// <summary>Sequences returned for one prompt, which is computed once.</summary>
    public int N { get; init; } = 1;

    /// <summary>Sequences drawn, of which the <see cref="N"/> with the best cumulative log-probability are kept; null: N.</summary>
    public int? BestOf { get; init; }

    /// <summary>Searches for the most probable outputs instead of drawing; the beam width is <see cref="Width"/>.</summary>
    public bool UseBeamSearch { get; init; }

    /// <summary>A beam's score is its log-probability divided by its length to this power, in [-10, 10].</summary>
    public float LengthPenalty { get; init; } = 1;

    /// <summary>When a beam search ends early.</summary>
    public EarlyStopping EarlyStopping { get; init; }

    /// <summary>Sequences of a request that run side by side: parallel samples or beams.</summary>
    public int Width => Math.Max(N, BestOf ?? N);

    /// <summary>True if more sequences are drawn than kept: their log-probabilities decide.</summary>
    internal bool RanksOutputs => !UseBeamSearch && BestOf > N;

    /// <summary>True if a step needs the counts of tokens drawn so far.</summary>
    internal bool NeedsTokenCounts => RepetitionPenalty != 1 || PresencePenalty != 0 || FrequencyPenalty != 0;

    /// <summary>Least temperature that still draws; below it the argmax is taken.</summary>
    public const float GreedyBelow = 1e-5f;

    /// <summary>Most entries of <see cref="LogitBias"/> and of <see cref="StopTokenIds"/>.</summary>
    public const int TokenListMax = 1024;

    /// <summary>Most sequences of one request.</summary>
    public const int WidthMax = 128;

    /// <summary>Most alternatives of a log-probability report.</summary>
    public const int LogprobsMax = 20;

    /// <summary>Throws <see cref="RequestRejectedException"/> (InvalidValue) naming the first parameter out of range.</summary>
    public void Validate(int vocabularySize)
    {
        Require(Temperature is >= 0 and <= 2, "temperature", Temperature, "0 to 2");
        Require(TopP is > 0 and <= 1, "top_p", TopP, "above 0, at most 1");
        Require(TopK >= 0, "top_k", TopK, "0 (off) or more");
        Require(MinP is >= 0 and <= 1, "min_p", MinP, "0 to 1");
        Require(RepetitionPenalty is >= 0.01f and <= 10, "repetition_penalty", RepetitionPenalty, "0.01 to 10");
        Require(PresencePenalty is >= -2 and <= 2, "presence_penalty", PresencePenalty, "-2 to 2");
        Require(FrequencyPenalty is >= -2 and <= 2, "frequency_penalty", FrequencyPenalty, "-2 to 2");
        Require(MaxTokens is null or >= 1, "max_tokens", MaxTokens, "1 or more");
        Require(MinTokens >= 0 && (MaxTokens is not int most || MinTokens <= most), "min_tokens", MinTokens, "0 to max_tokens");
        Require(Logprobs is null or (>= 0 and <= LogprobsMax), "logprobs", Logprobs, $"0 to {LogprobsMax}");
        Require(PromptLogprobs is null or (>= 0 and <= LogprobsMax), "prompt_logprobs", PromptLogprobs, $"0 to {LogprobsMax}");
        RequireWidth();
        if (UseBeamSearch)
            RequireBeams();
        RequireIds(StopTokenIds, "stop_token_ids", TokenListMax, vocabularySize);
        RequireIds(AllowedTokenIds, "allowed_token_ids", vocabularySize, vocabularySize);
        Require(LogitBias.Count <= TokenListMax, "logit_bias", LogitBias.Count, $"at most {TokenListMax} entries");
        foreach ((int id, float bias) in LogitBias)
        {
            RequireId(id, "logit_bias", vocabularySize);
            Require(bias is >= -100 and <= 100, "logit_bias", bias, "-100 to 100");
        }
    }

    private void RequireWidth()
    {
        Require(N is >= 1 and <= WidthMax, "n", N, $"1 to {WidthMax}");
        Require(BestOf is null || (BestOf >= N && BestOf <= WidthMax), "best_of", BestOf, $"n ({N}) to {WidthMax}");
        Require(UseBeamSearch || BestOf is null || BestOf == N || Temperature >= GreedyBelow, "best_of", BestOf,
            $"n ({N}) with temperature {Temperature}: greedy sequences are all the same");
    }

    /// <summary>A search ranks outputs by the model's own probabilities, so nothing that changes them, draws or reports goes with it.</summary>
    private void RequireBeams()
    {
        const string With = "with use_beam_search";
        Require(Width >= 2, BestOf is null ? "n" : "best_of", Width, $"a width of at least 2 {With}");
        Require(Temperature < GreedyBelow, "temperature", Temperature, $"0 {With}");
        Require(TopP == 1, "top_p", TopP, $"1 {With}");
        Require(TopK == 0, "top_k", TopK, $"0 (off) {With}");
        Require(MinP == 0, "min_p", MinP, $"0 {With}");
        Require(RepetitionPenalty == 1, "repetition_penalty", RepetitionPenalty, $"1 {With}");
        Require(PresencePenalty == 0, "presence_penalty", PresencePenalty, $"0 {With}");
        Require(FrequencyPenalty == 0, "frequency_penalty", FrequencyPenalty, $"0 {With}");
        Require(LogitBias.Count == 0, "logit_bias", $"{LogitBias.Count} entries", $"none {With}");
        Require(AllowedTokenIds.Count == 0, "allowed_token_ids", $"{AllowedTokenIds.Count} ids", $"none {With}");
        Require(MinTokens == 0, "min_tokens", MinTokens, $"0 {With}");
        Require(Logprobs is null, "logprobs", Logprobs, $"none {With}");
        Require(PromptLogprobs is null, "prompt_logprobs", PromptLogprobs, $"none {With}");
        Require(LengthPenalty is >= -10 and <= 10, "length_penalty", LengthPenalty, "-10 to 10");
        Require(EarlyStopping is EarlyStopping.No or EarlyStopping.Yes or EarlyStopping.Never, "early_stopping", EarlyStopping, "no, yes or never");
    }

    private static void RequireIds(IReadOnlyList<int> ids, string parameter, int countMax, int vocabularySize)
    {
        Require(ids.Count <= countMax, parameter, ids.Count, $"at most {countMax} ids");
        foreach (int id in ids)
            RequireId(id, parameter, vocabularySize);
    }

    private static void RequireId(int id, string parameter, int vocabularySize) =>
        Require((uint)id < (uint)vocabularySize, parameter, id, $"ids from 0 to {vocabularySize - 1}");

    private static void Require(bool ok, string parameter, object? found, string needed)
    {
        if (!ok)
            throw new RequestRejectedException(RejectionKind.InvalidValue, $"{parameter}: found {found}, needed {needed}", parameter);
    }
}
