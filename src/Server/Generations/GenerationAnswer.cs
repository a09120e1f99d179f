using System.Buffers;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Http;
using NativeLM.Server.Streaming;
using NativeLM.Server.Validation;

namespace NativeLM.Server.Generations;

/// <summary>Answers one request from its running choices: whole, or as a stream of chunks.</summary>
internal sealed class GenerationAnswer(
    GenerationSettings settings, IReadOnlyList<PromptRun> runs, ResponseHead head, ChoiceWriter writer, EngineHost host)
{
    private readonly Choice[] _choices = [.. runs.SelectMany(static run => run.Choices)];

    /// <summary>Waits for the end of every choice, then writes one JSON body.</summary>
    public async Task WriteWholeAsync(HttpContext context)
    {
        await foreach (ChoiceEvent next in ChoiceEvents.Read(runs, context.RequestAborted))
            Accept(next);
        ArrayBufferWriter<byte> buffer = new(4096);
        buffer.Write(head.Prefix);
        Utf8JsonWriter json = new(buffer, JsonAnswer.WriterOptions);
        foreach (Choice choice in _choices)
        {
            if (choice != _choices[0])
                buffer.Write(","u8);
            json.Reset(buffer);
            writer.WriteWhole(json, choice);
            json.Flush();
        }
        buffer.Write("],\"usage\":"u8);
        json.Reset(buffer);
        Usage().Write(json);
        json.Flush();
        if (settings.ReportsSharing)
        {
            buffer.Write(",\"nativelm\":"u8);
            json.Reset(buffer);
            SharingWriter.Write(json, runs);
            json.Flush();
        }
        buffer.Write("}"u8);
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = buffer.WrittenCount;
        await context.Response.Body.WriteAsync(buffer.WrittenMemory, context.RequestAborted);
    }

    /// <summary>Writes chunks as tokens come. Tokens that are ready together share a chunk. Until the first chunk errors are thrown.</summary>
    public async Task WriteStreamAsync(HttpContext context)
    {
        await using SseStream sse = new(context, host.Options.KeepAliveInterval);
        try
        {
            await using IAsyncEnumerator<ChoiceEvent> events = ChoiceEvents.Read(runs, context.RequestAborted)
                .GetAsyncEnumerator(context.RequestAborted);
            while (true)
            {
                ValueTask<bool> next = events.MoveNextAsync();
                if (!(next.IsCompleted ? await next : await SendAndWaitAsync(sse, next)))
                    break;
                Take(sse, events.Current);
            }
            WriteDeltas(sse);
            WriteUsage(sse);
            sse.Done();
            await sse.FlushAsync();
        }
        catch (Exception failure) when (sse.HasBegun && !context.RequestAborted.IsCancellationRequested)
        {
            ApiException error = ErrorAnswer.From(failure);
            await sse.FailAsync(error);
            throw new AnsweredException(error, failure);
        }
    }

    private async ValueTask<bool> SendAndWaitAsync(SseStream sse, ValueTask<bool> next)
    {
        WriteDeltas(sse);
        await sse.FlushAsync();
        return await sse.WaitAsync(next);
    }

    private void Take(SseStream sse, in ChoiceEvent next)
    {
        Choice choice = next.Choice;
        ThrowIfFailed(next.Event);
        if (!choice.HasBegun)
        {
            choice.Begin(next.Event);
            WriteFirst(sse, choice);
        }
        choice.Accept(next.Event, settings.Sampling.StopTokenIds);
        if (!choice.HasEnded)
            return;
        // The end of a choice is written at once: it leaves the set that WriteDeltas looks at.
        if (choice.HasDelta && writer.EndsSeparately)
            WriteDelta(sse, choice);
        WriteDelta(sse, choice);
    }

    private void Accept(in ChoiceEvent next)
    {
        ThrowIfFailed(next.Event);
        if (!next.Choice.HasBegun)
            next.Choice.Begin(next.Event);
        next.Choice.Accept(next.Event, settings.Sampling.StopTokenIds);
    }

    private void WriteDeltas(SseStream sse)
    {
        foreach (Choice choice in _choices)
            if (choice.HasDelta && !choice.HasEnded)
                WriteDelta(sse, choice);
    }

    private void WriteFirst(SseStream sse, Choice choice)
    {
        if (!writer.HasFirst)
            return;
        writer.WriteFirst(sse.Event(head.Prefix), choice);
        EndChunk(sse);
    }

    private void WriteDelta(SseStream sse, Choice choice)
    {
        writer.WriteDelta(sse.Event(head.Prefix), choice);
        choice.ClearDelta();
        EndChunk(sse);
    }

    private void EndChunk(SseStream sse)
    {
        if (settings.ContinuousUsage)
        {
            sse.Raw("],\"usage\":"u8);
            Usage().Write(sse.Value());
            sse.Raw("}"u8);
        }
        else
        {
            sse.Raw(settings.IncludeUsage ? "],\"usage\":null}"u8 : "]}"u8);
        }
        sse.EndEvent();
    }

    /// <summary>One last chunk without choices for what is known at the end only.</summary>
    private void WriteUsage(SseStream sse)
    {
        if (!settings.IncludeUsage && !settings.ReportsSharing)
            return;
        sse.Event(head.Prefix);
        sse.Raw("]"u8);
        if (settings.IncludeUsage)
        {
            sse.Raw(",\"usage\":"u8);
            Usage().Write(sse.Value());
        }
        if (settings.ReportsSharing)
        {
            sse.Raw(",\"nativelm\":"u8);
            SharingWriter.Write(sse.Value(), runs);
        }
        sse.Raw("}"u8);
        sse.EndEvent();
    }

    private UsageCounts Usage() => new(
        runs.Sum(static run => run.Ids.Length), runs.Sum(static run => run.CompletionCount), runs.Sum(static run => run.CachedCount));

    private void ThrowIfFailed(TextEvent next)
    {
        if (next.FinishReason == FinishReason.Error)
            throw new ApiException(500, "internal_error", "The engine could not complete this request.");
        if (next.FinishReason == FinishReason.DeadlineExceeded)
            throw new ApiException(408, "deadline_exceeded", "The request's deadline passed before its output was complete.", "deadline_ms");
        if (next.FinishReason == FinishReason.Cancelled)
            throw host.Status == EngineHost.Ok
                ? new ApiException(408, "request_timeout", "The output was not read fast enough, so it was cancelled.")
                : ApiException.ShuttingDown();
    }
}
