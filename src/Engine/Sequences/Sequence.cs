using NativeLM.Engine.Memory;

namespace NativeLM.Engine.Sequences;

/// <summary>
/// One sequence of tokens: the prompt, what was drawn so far, and the KV blocks that hold it. A request has one or several of them, its
/// <see cref="SequenceGroup"/>. Engine thread only.
/// Tokens [0, ComputedCount) have their K and V in the cache once every step planned so far has run. The last of them may be tokens
/// in flight: a planned step draws them, and the host has not read them yet.
/// </summary>
internal sealed class Sequence
{
    private int[] _tokens;

    /// <param name="arrival">Running number of arrival.</param>
    /// <param name="prompt">Token ids, at least one.</param>
    /// <param name="sampling">How tokens are drawn.</param>
    /// <param name="seed">Seed of the random generator.</param>
    /// <param name="maxOutputCount">Most output tokens, at least one.</param>
    /// <param name="endIds">Tokens that end it; see <see cref="EndIds"/>.</param>
    public Sequence(long arrival, ReadOnlySpan<int> prompt, SamplingParams sampling, ulong seed, int maxOutputCount, int[]? endIds = null)
    {
        Arrival = arrival;
        Sampling = sampling;
        Seed = seed;
        MaxOutputCount = maxOutputCount;
        EndIds = endIds ?? [];
        PromptCount = TokenCount = prompt.Length;
        _tokens = new int[checked(prompt.Length + Math.Min(maxOutputCount, 64))];
        prompt.CopyTo(_tokens);
    }

    private Sequence(Sequence parent, int index)
    {
        Arrival = parent.Arrival;
        Group = parent.Group;
        Sampling = parent.Sampling;
        Seed = SeedOf(parent.Seed, index);
        MaxOutputCount = parent.MaxOutputCount;
        EndIds = parent.EndIds;
        PromptCount = parent.PromptCount;
        Index = index;
        _tokens = new int[parent._tokens.Length];
    }

    /// <summary>Running number of its request's arrival, kept for life.</summary>
    public long Arrival { get; }

    /// <summary>The request it belongs to.</summary>
    public SequenceGroup Group { get; set; } = null!;

    /// <summary>Which of the request's sequences it is. Beams change places; theirs says nothing.</summary>
    public int Index { get; }

    public SamplingParams Sampling { get; }

    /// <summary>Seed of the counter-based generator: with a position it is the generator's whole state.</summary>
    public ulong Seed { get; }

    public int PromptCount { get; }

    /// <summary>Output tokens after which the sequence ends with <see cref="FinishReason.Length"/>.</summary>
    public int MaxOutputCount { get; }

    /// <summary>
    /// Tokens that end the output: EOS unless ignored, and the request's stop ids. Whoever draws bans them while
    /// <see cref="OutputCount"/> is below MinTokens.
    /// </summary>
    public int[] EndIds { get; }

    /// <summary>Why it ended; None while it lives.</summary>
    public FinishReason FinishReason { get; set; }

    /// <summary>Prompt and output tokens that the host knows.</summary>
    public int TokenCount { get; private set; }

    public int OutputCount => TokenCount - PromptCount;

    /// <summary>Tokens that planned steps draw and whose result was not taken over yet.</summary>
    public int InFlightCount { get; set; }

    /// <summary>Tokens known or in flight.</summary>
    public int ExpectedCount => TokenCount + InFlightCount;

    /// <summary>Row, in the plan of the step that draws it, of the token last sent in flight.</summary>
    public int InFlightRow { get; set; }

    /// <summary>
    /// True if no token can be planned before a result arrives: the token in flight is the last one allowed. A sequence whose next mask
    /// depends on its own last token would wait here as well.
    /// </summary>
    public bool AwaitsResult => InFlightCount > 0 && OutputCount + InFlightCount >= MaxOutputCount;

    /// <summary>Tokens computed by the steps planned so far; 0 after preemption by recompute.</summary>
    public int ComputedCount { get; set; }

    /// <summary>Tokens still to compute before the next one can be drawn: 1 in decode.</summary>
    public int PendingCount => ExpectedCount - ComputedCount;

    /// <summary>Row of per-sequence device state (block table, token counts) in [0, MaxSequences), or -1 while not running.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>What the device holds in the slot is not this sequence's: the next row planned for it loads everything.</summary>
    public bool IsNewInSlot { get; set; }

    /// <summary>While its request is recomputed: it begins with blocks of this sequence, which must be computed first.</summary>
    public Sequence? Source { get; set; }

    public BlockTable Blocks { get; } = new();

    /// <summary>Sum of the log-probabilities of its output (beams only).</summary>
    public float Cumulative { get; set; }

    /// <summary>Log-probabilities of prompt tokens known so far, from the first on; null unless asked for. Kept across preemption.</summary>
    public List<PromptLogprob>? PromptLogprobs { get; private set; }

    /// <summary>All tokens that the host knows.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, TokenCount);

    /// <summary>Seed of the sequence with an index beside the one with index 0 (the finalizer of SplitMix64): each draws from a stream of its own.</summary>
    public static ulong SeedOf(ulong seed, int index) => index == 0 ? seed : Mix(seed + 0x9E3779B97F4A7C15UL * (ulong)index);

    /// <summary>The finalizer of SplitMix64: neighbouring inputs give independent outputs.</summary>
    public static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }

    public void Append(int token)
    {
        if (TokenCount == _tokens.Length)
            Array.Resize(ref _tokens, checked(_tokens.Length * 2));
        _tokens[TokenCount++] = token;
    }

    /// <summary>A new sequence of the same request with the same tokens; blocks and slot are the caller's business.</summary>
    public Sequence Fork(int index)
    {
        Sequence child = new(this, index);
        child.CopyFrom(this);
        return child;
    }

    /// <summary>Takes over the tokens and the progress of another sequence of the same request.</summary>
    public void CopyFrom(Sequence parent)
    {
        if (_tokens.Length < parent.TokenCount)
            _tokens = new int[parent._tokens.Length];
        parent.Tokens.CopyTo(_tokens);
        TokenCount = parent.TokenCount;
        ComputedCount = parent.ComputedCount;
        Cumulative = parent.Cumulative;
        InFlightCount = 0;
        FinishReason = FinishReason.None;
    }

    /// <summary>Keeps the log-probabilities of prompt tokens [first, first + count); those a recomputation gives again are dropped.</summary>
    public void AddPromptLogprobs(int first, ReadOnlySpan<PromptLogprob> entries)
    {
        PromptLogprobs ??= [new PromptLogprob(Tokens[0], float.NaN, 0, [])];
        int known = PromptLogprobs.Count - first;
        if (known < 0)
            throw new InvariantException($"prompt log-probabilities begin at token {first}, expected {PromptLogprobs.Count} or before");
        if (known < entries.Length)
            PromptLogprobs.AddRange(entries[known..]);
    }
}
