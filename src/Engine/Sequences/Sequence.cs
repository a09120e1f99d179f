using NativeLM.Engine.Memory;

namespace NativeLM.Engine.Sequences;

/// <summary>Where a sequence is in its life.</summary>
internal enum SequenceState
{
    Waiting,
    Running,
    Preempted,
    Finished,
}

/// <summary>
/// One sequence of tokens: the prompt, what was drawn so far, and the KV blocks that hold it. Engine thread only.
/// Tokens [0, ComputedCount) have their K and V in the cache.
/// </summary>
internal sealed class Sequence
{
    private int[] _tokens;

    public Sequence(long arrival, ReadOnlySpan<int> prompt, SamplingParams sampling, ulong seed, int maxOutputCount)
    {
        Arrival = arrival;
        Sampling = sampling;
        Seed = seed;
        MaxOutputCount = maxOutputCount;
        PromptCount = TokenCount = prompt.Length;
        _tokens = new int[checked(prompt.Length + Math.Min(maxOutputCount, 64))];
        prompt.CopyTo(_tokens);
    }

    /// <summary>Running number of arrival: the order key, kept for life.</summary>
    public long Arrival { get; }

    public SamplingParams Sampling { get; }

    /// <summary>Seed of the counter-based generator: with a position it is the generator's whole state.</summary>
    public ulong Seed { get; }

    public int PromptCount { get; }

    /// <summary>Output tokens after which the sequence ends with <see cref="FinishReason.Length"/>.</summary>
    public int MaxOutputCount { get; }

    public SequenceState State { get; set; }

    /// <summary>Prompt and output tokens.</summary>
    public int TokenCount { get; private set; }

    public int OutputCount => TokenCount - PromptCount;

    /// <summary>Tokens whose K and V are in the cache; 0 after preemption by recompute.</summary>
    public int ComputedCount { get; set; }

    /// <summary>Row of per-sequence device state (block table, token counts) in [0, MaxSequences), or -1 while not running.</summary>
    public int Slot { get; set; } = -1;

    public BlockTable Blocks { get; } = new();

    /// <summary>All tokens so far.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, TokenCount);

    public void Append(int token)
    {
        if (TokenCount == _tokens.Length)
            Array.Resize(ref _tokens, checked(_tokens.Length * 2));
        _tokens[TokenCount++] = token;
    }
}
