namespace NativeLM.Engine.Execution;

/// <summary>What a step drew for one sequence of the plan (same index as in the plan).</summary>
internal struct SampledToken
{
    /// <summary>The token, or -1 if the plan did not sample this sequence or the row failed.</summary>
    public int Token;

    public float Logprob;

    public int Rank;

    /// <summary>Logits were not finite, or no token was allowed: the request ends with an error.</summary>
    public bool Failed;

    /// <summary>Alternatives, best first; null unless asked for.</summary>
    public TokenLogprob[]? TopLogprobs;

    /// <summary>For prompt tokens [Start + 1, Start + Count] computed in this step that lie inside the prompt; null unless asked for.</summary>
    public PromptLogprob[]? PromptLogprobs;
}

/// <summary>Results of one step, index by index with <see cref="Scheduling.StepPlan.Sequences"/>. Reused; engine thread only.</summary>
internal sealed class StepResult(int sequencesMax)
{
    private readonly SampledToken[] _tokens = new SampledToken[sequencesMax];

    public Span<SampledToken> Tokens => _tokens;

    /// <summary>Rows that the step had room for: its tokens, and in a graph the padding.</summary>
    public int BatchRows { get; set; }

    /// <summary>True if a recorded graph was replayed, false if every operation was called.</summary>
    public bool IsReplay { get; set; }
}
