using System.Threading.Channels;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine;

/// <summary>
/// The tokens of one request as they are drawn. Enumerated once. Each of its <see cref="SequenceCount"/> sequences ends with one event
/// that carries a finish reason; the events of different sequences interleave, and beams come all at the end, best first.
/// Disposing the enumerator, cancelling its token or calling <see cref="Cancel()"/> ends the request and frees its KV blocks. A
/// reader that falls <see cref="UnreadEventsMax"/> events per sequence behind is cut off: the engine waits for nobody.
/// </summary>
public sealed class Generation : IAsyncEnumerable<TokenEvent>
{
    /// <summary>Events kept, per sequence, for a reader that is behind: 64 KB at 64 bytes each.</summary>
    public const int UnreadEventsMax = 1024;

    /// <summary>What a cancellation names when it is not about one sequence.</summary>
    internal const int AllSequences = -1;

    private readonly Channel<TokenEvent> _events;
    private readonly Action<Generation, int> _cancel;
    private readonly bool[] _hasEndEvent;
    private readonly List<TokenEvent> _last = [];
    private volatile bool _ended;
    private int _enumerated;
    private int _cancelled;

    internal Generation(string id, int promptTokenCount, int sequenceCount, Action<Generation, int> cancel)
    {
        Id = id;
        PromptTokenCount = promptTokenCount;
        SequenceCount = sequenceCount;
        _cancel = cancel;
        _hasEndEvent = new bool[sequenceCount];
        _events = Channel.CreateBounded<TokenEvent>(
            new BoundedChannelOptions(checked(UnreadEventsMax * sequenceCount)) { SingleReader = true, SingleWriter = true });
    }

    /// <summary>Name for logs and metrics.</summary>
    public string Id { get; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokenCount { get; }

    /// <summary>Prompt tokens that were not computed because their K and V were in the cache already.</summary>
    public int CachedTokenCount { get; internal set; }

    /// <summary>Sequences whose ends are reported: parallel samples drawn, or beams returned.</summary>
    public int SequenceCount { get; }

    /// <summary>Scores of the beams returned, best first; set before the last event, empty without beam search.</summary>
    public IReadOnlyList<float> BeamScores { get; internal set; } = [];

    /// <summary>What sharing saved; set before the last event if the request asked for it.</summary>
    public SharingReport? Sharing { get; internal set; }

    /// <summary>The request it reports on; set before the engine thread sees either.</summary>
    internal SequenceGroup Group { get; set; } = null!;

    /// <summary>Its last event exists.</summary>
    internal bool HasEnded => _ended;

    /// <summary>When what happened to it. Engine thread only.</summary>
    internal RequestTimes Times;

    /// <summary>
    /// Ends the request at the next step boundary, with <see cref="FinishReason.Cancelled"/>. Can be called at any time, from any
    /// thread, repeatedly.
    /// </summary>
    public void Cancel()
    {
        if (!_ended && Interlocked.Exchange(ref _cancelled, 1) == 0)
            _cancel(this, AllSequences);
    }

    /// <summary>
    /// Ends one of its sequences at the next step boundary, with <see cref="FinishReason.Cancelled"/>, for example because a stop text is
    /// complete; the others go on. Ignored if it has ended, and for beams. Call it at most once per sequence.
    /// </summary>
    public void Cancel(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)SequenceCount);
        if (!_ended && Volatile.Read(ref _cancelled) == 0)
            _cancel(this, index);
    }

    /// <summary>Reads the events.</summary>
    /// <exception cref="InvalidOperationException">They are being or have been read.</exception>
    /// <exception cref="OperationCanceledException">While reading, when the token is cancelled.</exception>
    public IAsyncEnumerator<TokenEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _enumerated, 1) != 0)
            throw new InvalidOperationException($"generation {Id} is being or has been read; its events exist once");
        return ReadAsync(cancellationToken);
    }

    private async IAsyncEnumerator<TokenEvent> ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            await foreach (TokenEvent token in _events.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                yield return token;
            foreach (TokenEvent token in _last)
                yield return token;
        }
        finally
        {
            Cancel();
        }
    }

    /// <summary>Whether the last event of one of its sequences exists. Engine thread only.</summary>
    internal bool HasEndEvent(int index) => _hasEndEvent[index];

    /// <summary>Hands a token to the reader; false if it is too far behind. Engine thread only.</summary>
    internal bool Publish(in TokenEvent token)
    {
        Note(token);
        return _events.Writer.TryWrite(token);
    }

    /// <summary>Adds an event of a request that has ended. It needs no room: it is handed over beside the channel. Engine thread only.</summary>
    internal void PublishLast(in TokenEvent token)
    {
        Note(token);
        _last.Add(token);
    }

    /// <summary>Ends it: every sequence has its last event. Engine thread only.</summary>
    internal void End()
    {
        if (_ended || Array.IndexOf(_hasEndEvent, false) >= 0)
            throw new InvariantException($"generation {Id} ends twice, or without the end of one of its sequences");
        _ended = true;
        _events.Writer.Complete();
    }

    private void Note(in TokenEvent token)
    {
        if (token.FinishReason == FinishReason.None)
            return;
        if (_hasEndEvent[token.Index])
            throw new InvariantException($"sequence {token.Index} of generation {Id} ends twice");
        _hasEndEvent[token.Index] = true;
    }
}
