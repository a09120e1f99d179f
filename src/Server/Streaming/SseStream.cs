using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using NativeLM.Server.Contracts;
using NativeLM.Server.Http;

namespace NativeLM.Server.Streaming;

/// <summary>
/// Server-sent events straight onto the response's pipe. While the owner waits for tokens, a timer may put a comment line on the wire;
/// <see cref="_gate"/> keeps the two apart. Kestrel holds at most the configured unsent bytes and cuts off readers below the rate rule.
/// </summary>
internal sealed class SseStream : IAsyncDisposable
{
    private readonly HttpContext _context;
    private readonly PipeWriter _pipe;
    private readonly Utf8JsonWriter _json;
    private readonly TimeSpan _interval;
    private readonly Lock _gate = new();
    private readonly Timer _keepAlive;
    private Task<FlushResult>? _commentFlush;
    private bool _waiting;
    private bool _begun;
    private bool _dirty;

    public SseStream(HttpContext context, TimeSpan keepAliveInterval)
    {
        _context = context;
        _pipe = context.Response.BodyWriter;
        _json = new Utf8JsonWriter(_pipe, JsonAnswer.WriterOptions);
        _interval = keepAliveInterval;
        _keepAlive = new Timer(static state => ((SseStream)state!).SendComment(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>True once the client has been told 200 and sent an event or a comment: from then on errors are events.</summary>
    public bool HasBegun => _begun;

    /// <summary>Starts an event; write one JSON value to the writer returned, then what follows it with <see cref="Raw"/>.</summary>
    public Utf8JsonWriter Event(ReadOnlySpan<byte> prefix)
    {
        Begin();
        _pipe.Write("data: "u8);
        _pipe.Write(prefix);
        _json.Reset(_pipe);
        return _json;
    }

    /// <summary>Bytes after the JSON value of the event.</summary>
    public void Raw(ReadOnlySpan<byte> bytes)
    {
        _json.Flush();
        _pipe.Write(bytes);
    }

    /// <summary>A further JSON value inside the event.</summary>
    public Utf8JsonWriter Value()
    {
        _json.Reset(_pipe);
        return _json;
    }

    /// <summary>Ends the event.</summary>
    public void EndEvent() => Raw("\n\n"u8);

    /// <summary>The line that says nothing follows.</summary>
    public void Done()
    {
        Begin();
        _pipe.Write("data: [DONE]\n\n"u8);
    }

    /// <summary>An error after the first event: it is the last thing sent.</summary>
    public async Task FailAsync(ApiException error)
    {
        JsonSerializer.Serialize(Event(default), ErrorAnswer.Body(error), ServerJson.Default.ErrorBody);
        EndEvent();
        await FlushAsync();
    }

    /// <summary>Sends what was written; completes when the client has taken enough of it. Throws if the client is gone.</summary>
    public async ValueTask FlushAsync()
    {
        if (!_dirty)
            return;
        _dirty = false;
        await _pipe.FlushAsync(_context.RequestAborted);
        _context.RequestAborted.ThrowIfCancellationRequested();
    }

    /// <summary>Waits for the next token; keeps the connection warm meanwhile.</summary>
    public async ValueTask<bool> WaitAsync(ValueTask<bool> next)
    {
        lock (_gate)
            _waiting = true;
        _keepAlive.Change(_interval, _interval);
        try
        {
            return await next;
        }
        finally
        {
            lock (_gate)
                _waiting = false;
            if (_commentFlush is Task<FlushResult> comment)
            {
                _commentFlush = null;
                await comment;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _keepAlive.DisposeAsync();
        await _json.DisposeAsync();
    }

    private void Begin()
    {
        _dirty = true;
        if (_begun)
            return;
        _begun = true;
        HttpResponse response = _context.Response;
        response.ContentType = "text/event-stream; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
        response.Headers["X-Accel-Buffering"] = "no";
    }

    private void SendComment()
    {
        lock (_gate)
        {
            if (!_waiting || _commentFlush is { IsCompleted: false })
                return;
            Begin();
            _dirty = false;
            _pipe.Write(": keep-alive\n\n"u8);
            _commentFlush = _pipe.FlushAsync(CancellationToken.None).AsTask();
        }
    }
}
