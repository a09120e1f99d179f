using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine.Sequences;

/// <summary>Where a request is in its life.</summary>
internal enum GroupState
{
    /// <summary>It has not run yet.</summary>
    Waiting,
    /// <summary>Its sequences hold blocks and slots.</summary>
    Running,
    /// <summary>Its blocks were dropped; what they held is computed again.</summary>
    Preempted,
    /// <summary>Its blocks are in host memory.</summary>
    Swapped,
    Finished,
}

/// <summary>
/// One request: a prompt and the one or several sequences that continue it (the paper's sequence group, section 4.5). They are scheduled,
/// preempted and resumed together. It begins with one sequence; the others fork from it when the prompt is computed. Engine thread only.
/// </summary>
internal sealed class SequenceGroup
{
    private readonly Sequence[] _live;
    private int _liveCount;
    private bool[]? _endsEarly;

    /// <param name="first">The sequence that computes the prompt.</param>
    public SequenceGroup(Sequence first)
    {
        SamplingParams sampling = first.Sampling;
        Width = sampling.Width;
        ArgumentOutOfRangeException.ThrowIfLessThan(Width, 1);
        first.Group = this;
        First = first;
        _live = new Sequence[Width];
        _live[0] = first;
        _liveCount = 1;
        if (sampling.UseBeamSearch)
            Beams = new BeamSearch(Width, sampling.LengthPenalty, sampling.EarlyStopping, first.PromptCount, first.MaxOutputCount, first.EndIds);
    }

    /// <summary>The sequence that computed the prompt.</summary>
    public Sequence First { get; }

    /// <summary>Running number of arrival; with the priority the order key, kept for life.</summary>
    public long Arrival => First.Arrival;

    /// <summary>Lower is served first.</summary>
    public int Priority { get; init; }

    /// <summary>Timestamp of the scheduler's clock after which it ends with <see cref="FinishReason.DeadlineExceeded"/>.</summary>
    public long Deadline { get; init; } = long.MaxValue;

    /// <summary>Only requests of the same salt share cached prefixes.</summary>
    public UInt128 Salt { get; init; }

    /// <summary>Whose request it is; null: the scheduler's own queue.</summary>
    public KeyQueue? Key { get; set; }

    /// <summary>Most sequences it has at once.</summary>
    public int Width { get; }

    /// <summary>The search, if it searches instead of drawing.</summary>
    public BeamSearch? Beams { get; }

    /// <summary>Set for a prefix that is registered by name: what keeps its blocks when it has been computed.</summary>
    public PinnedPrefix? Pin { get; init; }

    /// <summary>Counts what sharing saves; null unless asked for.</summary>
    public SharingMeter? Sharing { get; init; }

    /// <summary>Where its tokens go; null in tests that look at the sequences themselves.</summary>
    public Generation? Generation { get; init; }

    public GroupState State { get; set; }

    /// <summary>Where it was when it ended.</summary>
    public GroupState StateAtEnd { get; set; }

    /// <summary>What a reader is told if it ended with an error, or was cut off.</summary>
    public string? Message { get; set; }

    /// <summary>Beams that did not go on, to be used again.</summary>
    public Stack<Sequence> Spares { get; } = new();

    /// <summary>Why it ended; None while it lives. Its sequences may have ended for reasons of their own.</summary>
    public FinishReason FinishReason { get; set; }

    /// <summary>Tokens known before are computed: the prompt at first, everything after a preemption by recompute.</summary>
    public bool IsPrefilling { get; set; }

    /// <summary>Requests that started although they stood behind this one.</summary>
    public int OvertakenCount { get; set; }

    /// <summary>Prompt tokens that were in the prefix cache when it first ran.</summary>
    public int CachedTokenCount { get; set; }

    /// <summary>Sequences that go on, in the order of their rows; beams in the order of their ranks.</summary>
    public ReadOnlySpan<Sequence> Live => new(_live, 0, _liveCount);

    /// <summary>True until the prompt was computed for the first time: the other sequences do not exist yet.</summary>
    public bool AwaitsForks => Width > 1 && _liveCount == 1 && First.ExpectedCount == First.PromptCount;

    /// <summary>Slots that it needs to run.</summary>
    public int SlotCount => Beams is not null || AwaitsForks ? Width : _liveCount;

    /// <summary>Tokens in flight, over its sequences.</summary>
    public bool HasTokenInFlight
    {
        get
        {
            foreach (Sequence sequence in Live)
                if (sequence.InFlightCount > 0)
                    return true;
            return false;
        }
    }

    /// <summary>True if nothing can be planned before a result arrives. Beams always wait: it decides who goes on.</summary>
    public bool AwaitsResult => Beams is null ? _live[0].AwaitsResult : _live[0].InFlightCount > 0;

    /// <summary>Comes before another in the order of service.</summary>
    public bool IsBefore(SequenceGroup other) => Priority != other.Priority ? Priority < other.Priority : Arrival < other.Arrival;

    /// <summary>A sequence that does not exist yet was cancelled: it ends with its first token.</summary>
    public void EndEarly(int index) => (_endsEarly ??= new bool[Width])[index] = true;

    /// <summary>Whether <see cref="EndEarly"/> was called for a sequence.</summary>
    public bool EndsEarly(int index) => _endsEarly is not null && _endsEarly[index];

    /// <summary>Adds a sequence behind the others.</summary>
    public void Add(Sequence sequence) => _live[_liveCount++] = sequence;

    /// <summary>Takes a sequence that has ended out; the others keep their order.</summary>
    public void Remove(Sequence sequence)
    {
        int index = Live.IndexOf(sequence);
        if (index < 0)
            throw new InvariantException($"sequence {sequence.Index} of request {Arrival} ends, but does not live");
        _liveCount--;
        _live.AsSpan(index + 1, _liveCount - index).CopyTo(_live.AsSpan(index));
        _live[_liveCount] = null!;
    }

    /// <summary>Puts other sequences in the place of those that live.</summary>
    public void Replace(ReadOnlySpan<Sequence> sequences)
    {
        Array.Clear(_live, 0, _liveCount);
        sequences.CopyTo(_live);
        _liveCount = sequences.Length;
    }
}
