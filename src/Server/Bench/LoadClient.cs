using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net.Http.Headers;
using System.Text.Json;

namespace NativeLM.Server.Bench;

/// <summary>Sends one streamed completion after another to a server and notes when each event came.</summary>
internal sealed class LoadClient : IDisposable
{
    private readonly LoadTarget _target;
    private readonly HttpClient _http;
    private readonly Uri _completions;
    private string? _model;

    public LoadClient(LoadTarget target)
    {
        _target = target;
        _model = target.Model;
        _completions = new Uri(target.BaseUrl, "/v1/completions");
        _http = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = Timeout.InfiniteTimeSpan, UseProxy = false })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        if (target.ApiKey is not null)
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", target.ApiKey);
    }

    /// <summary>Checks that the server answers and learns the model's name where none was given.</summary>
    public async Task ConnectAsync(CancellationToken cancellation)
    {
        using HttpResponseMessage response = await AskModelsAsync(cancellation);
        string body = await response.Content.ReadAsStringAsync(cancellation);
        if (!response.IsSuccessStatusCode)
            throw new InvalidOperationException($"{_target.BaseUrl}: GET /v1/models answered {(int)response.StatusCode}");
        using JsonDocument document = JsonDocument.Parse(body);
        _model ??= document.RootElement.GetProperty("data")[0].GetProperty("id").GetString();
    }

    private async Task<HttpResponseMessage> AskModelsAsync(CancellationToken cancellation)
    {
        try
        {
            return await _http.GetAsync(new Uri(_target.BaseUrl, "/v1/models"), cancellation);
        }
        catch (HttpRequestException failure)
        {
            throw new InvalidOperationException($"{_target.BaseUrl}: no server answers ({failure.Message})");
        }
    }

    public async Task<RequestRecord> SendAsync(PlannedRequest planned, long runStart, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        RequestRecord record = new() { Sent = Stopwatch.GetElapsedTime(runStart, start).TotalSeconds, InputCount = planned.InputLength };
        try
        {
            using HttpRequestMessage request = new(HttpMethod.Post, _completions) { Content = Body(planned) };
            using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            if (!response.IsSuccessStatusCode)
            {
                record.Error = $"HTTP {(int)response.StatusCode}";
                return record;
            }
            PipeReader reader = PipeReader.Create(await response.Content.ReadAsStreamAsync(cancellation));
            await ReadEventsAsync(reader, record, start, cancellation);
            await reader.CompleteAsync();
            if (record.OutputCount == 0)
                record.Error ??= "no token came";
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or JsonException)
        {
            record.Error = failure.GetType().Name;
        }
        return record;
    }

    public void Dispose() => _http.Dispose();

    private static async Task ReadEventsAsync(PipeReader reader, RequestRecord record, long start, CancellationToken cancellation)
    {
        double last = 0;
        while (true)
        {
            ReadResult read = await reader.ReadAsync(cancellation);
            double now = Stopwatch.GetElapsedTime(start).TotalSeconds;
            ReadOnlySequence<byte> buffer = read.Buffer;
            int before = record.OutputCount;
            while (TryReadLine(ref buffer, out ReadOnlySequence<byte> line))
                Accept(line, record);
            if (record.OutputCount > before)
            {
                if (before == 0)
                    record.FirstToken = now;
                else
                    record.Gaps.Add(now - last);
                record.Total = last = now;
            }
            reader.AdvanceTo(buffer.Start, buffer.End);
            if (read.IsCompleted)
                return;
        }
    }

    private static bool TryReadLine(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> line)
    {
        SequencePosition? end = buffer.PositionOf((byte)'\n');
        line = default;
        if (end is null)
            return false;
        line = buffer.Slice(0, end.Value);
        buffer = buffer.Slice(buffer.GetPosition(1, end.Value));
        return true;
    }

    private static void Accept(in ReadOnlySequence<byte> line, RequestRecord record)
    {
        ReadOnlySpan<byte> bytes = line.IsSingleSegment ? line.FirstSpan : line.ToArray();
        if (!bytes.StartsWith("data: {"u8))
            return;
        StreamEvent @event = StreamEvent.Parse(bytes["data: "u8.Length..].TrimEnd((byte)'\r'));
        if (@event.Error)
            record.Error = "error event";
        else if (@event.CompletionTokens >= 0)
            record.OutputCount = @event.CompletionTokens;
        else if (@event.HasText)
            record.OutputCount++;
    }

    private ByteArrayContent Body(in PlannedRequest planned)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            json.WriteString("model"u8, _model);
            json.WriteStartArray("prompt"u8);
            foreach (int id in LoadPlan.PromptIds(planned, _target.Vocabulary))
                json.WriteNumberValue(id);
            json.WriteEndArray();
            json.WriteNumber("max_tokens"u8, planned.OutputLength);
            json.WriteNumber("temperature"u8, 0);
            json.WriteBoolean("ignore_eos"u8, true);
            json.WriteBoolean("stream"u8, true);
            json.WriteStartObject("stream_options"u8);
            json.WriteBoolean("include_usage"u8, true);
            json.WriteBoolean("continuous_usage_stats"u8, true);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        ByteArrayContent content = new(buffer.WrittenMemory.ToArray());
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return content;
    }
}
