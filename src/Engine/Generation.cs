using System.Threading.Channels;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine;

/// <summary>
/// The tokens of one request as they are drawn. Enumerated once; its last event carries the finish reason, and exactly one does.
/// Disposing the enumerator, cancelling its token or calling <see cref="Cancel"/> ends the request and frees its KV blocks. A
/// reader that falls <see cref="UnreadEventsMax"/> events behind is cut off: the engine waits for nobody.
/// </summary>
public sealed class Generation : IAsyncEnumerable<TokenEvent>
{
    /// <summary>Events kept for a reader that is behind: 64 KB at 64 bytes each.</summary>
    public const int UnreadEventsMax = 1024;

    private readonly Channel<TokenEvent> _events = Channel.CreateBounded<TokenEvent>(
        new BoundedChannelOptions(UnreadEventsMax) { SingleReader = true, SingleWriter = true });
    private readonly Action<Generation> _cancel;
    private TokenEvent _end;
    private volatile bool _ended;
    private int _enumerated;
    private int _cancelled;

    internal Generation(string id, int promptTokenCount, Action<Generation> cancel)
    {
        Id = id;
        PromptTokenCount = promptTokenCount;
        _cancel = cancel;
    }

    /// <summary>Name for logs and metrics.</summary>
    public string Id { get; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokenCount { get; }

    /// <summary>Prompt tokens that were not computed because their K and V were in the cache already.</summary>
    public int CachedTokenCount { get; internal set; }

    /// <summary>The sequence it reports on; set before the engine thread sees either.</summary>
    internal Sequence Sequence { get; set; } = null!;

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
            _cancel(this);
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
            yield return _end;
        }
        finally
        {
            Cancel();
        }
    }

    /// <summary>Hands a token to the reader; false if it is too far behind. Engine thread only.</summary>
    internal bool Publish(in TokenEvent token) => _events.Writer.TryWrite(token);

    /// <summary>Ends it. The last event needs no room: it is handed over beside the channel. Engine thread only.</summary>
    internal void End(in TokenEvent last)
    {
        if (_ended)
            throw new InvariantException($"generation {Id} ends twice");
        _end = last;
        _ended = true;
        _events.Writer.Complete();
    }
}
