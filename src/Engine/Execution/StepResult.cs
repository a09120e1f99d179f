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

/// <summary>A continuation of one beam.</summary>
/// <param name="Row">The beam, counted within the beams of its request.</param>
/// <param name="Token">The token that continues it.</param>
/// <param name="Cumulative">Log-probability of the whole output with it.</param>
/// <param name="Logprob">Log-probability of the token alone.</param>
internal readonly record struct BeamCandidate(int Row, int Token, float Cumulative, float Logprob);

/// <summary>Results of one step, index by index with <see cref="Scheduling.StepPlan.Sequences"/>. Reused; engine thread only.</summary>
internal sealed class StepResult(int sequencesMax)
{
    /// <summary>Most candidates of one request's beams.</summary>
    public const int CandidatesMax = 128;

    private readonly SampledToken[] _tokens = new SampledToken[sequencesMax];
    private readonly BeamCandidate[] _candidates = new BeamCandidate[Math.Max(1, sequencesMax / 2) * CandidatesMax];
    private readonly bool[] _beamFailed = new bool[Math.Max(1, sequencesMax / 2)];

    public Span<SampledToken> Tokens => _tokens;

    /// <summary>
    /// For an entry of <see cref="Scheduling.StepPlan.Beams"/>: its CandidateCount best continuations first, best first; Token is -1 where there
    /// are fewer. Requests with beams are at least two sequences wide, so half of the sequences bounds their number.
    /// </summary>
    public Span<BeamCandidate> Candidates(int beams) => _candidates.AsSpan(beams * CandidatesMax, CandidatesMax);

    /// <summary>For an entry of <see cref="Scheduling.StepPlan.Beams"/>: its logits were not finite.</summary>
    public ref bool BeamFailed(int beams) => ref _beamFailed[beams];

    /// <summary>Rows that the step had room for: its tokens, and in a graph the padding.</summary>
    public int BatchRows { get; set; }

    /// <summary>True if a recorded graph was replayed, false if every operation was called.</summary>
    public bool IsReplay { get; set; }
}
