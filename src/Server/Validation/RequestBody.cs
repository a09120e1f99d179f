using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Unicode;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>Reads a request body as one strict JSON object: bounded size and depth, valid UTF-8, no duplicate keys, nothing after it.</summary>
internal static class RequestBody
{
    private const int FirstBytes = 16 << 10;

    /// <summary>The body's object; the caller disposes the document.</summary>
    public static async Task<JsonDocument> ReadAsync(HttpContext context, RequestLimits limits)
    {
        RequireJson(context.Request);
        byte[] body = await ReadBytesAsync(context, limits.BodyBytesMax);
        return Parse(body, limits);
    }

    private static void RequireJson(HttpRequest request)
    {
        if (request.Headers.ContentEncoding.Count > 0)
            throw new ApiException(415, "unsupported_media_type", "Compressed bodies are not accepted; send plain JSON.");
        if (request.ContentType is not { Length: > 0 } type)
            return;
        string[] parts = type.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        bool isJson = parts.Length > 0 && parts[0].Equals("application/json", StringComparison.OrdinalIgnoreCase);
        foreach (string part in parts.Skip(1))
            if (part.StartsWith("charset=", StringComparison.OrdinalIgnoreCase))
                isJson &= part["charset=".Length..].Trim('"').Equals("utf-8", StringComparison.OrdinalIgnoreCase);
        if (!isJson)
            throw new ApiException(415, "unsupported_media_type", $"Content-Type must be application/json in UTF-8; found '{Text.Clip(type)}'.");
    }

    private static async Task<byte[]> ReadBytesAsync(HttpContext context, long bytesMax)
    {
        if (context.Request.ContentLength is long announced && announced > bytesMax)
            throw TooLarge(bytesMax);
        PipeReader reader = context.Request.BodyReader;
        // Grows with what has arrived, never with what was announced.
        ArrayBufferWriter<byte> body = new(FirstBytes);
        while (true)
        {
            ReadResult read = await reader.ReadAsync(context.RequestAborted);
            if (body.WrittenCount + read.Buffer.Length > bytesMax)
                throw TooLarge(bytesMax);
            foreach (ReadOnlyMemory<byte> segment in read.Buffer)
                body.Write(segment.Span);
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return body.WrittenSpan.ToArray();
        }
    }

    private static JsonDocument Parse(byte[] body, RequestLimits limits)
    {
        if (body.Length == 0)
            throw ApiException.InvalidJson("The request body is empty; needed a JSON object.");
        if (!Utf8.IsValid(body))
            throw ApiException.InvalidJson("The request body is not valid UTF-8.");
        JsonDocument document;
        try
        {
            RequireText(body, limits);
            document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = limits.JsonDepthMax, AllowDuplicateProperties = false });
        }
        catch (JsonException failure)
        {
            throw ApiException.InvalidJson($"The request body is not valid JSON: {Explain(failure)}");
        }
        if (document.RootElement.ValueKind == JsonValueKind.Object)
            return document;
        document.Dispose();
        throw ApiException.InvalidJson("The request body must be a JSON object.");
    }

    /// <summary>Every string must be text: an escaped surrogate without its partner has no place in UTF-8 and would fail wherever it is read.</summary>
    private static void RequireText(byte[] body, RequestLimits limits)
    {
        Utf8JsonReader reader = new(body, new JsonReaderOptions { MaxDepth = limits.JsonDepthMax });
        try
        {
            while (reader.Read())
                if (reader.ValueIsEscaped && reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName)
                    reader.GetString();
        }
        catch (InvalidOperationException)
        {
            throw ApiException.InvalidJson("The request body is not valid JSON: a string holds an unpaired surrogate.");
        }
    }

    /// <summary>The parser's own words may quote the input at length; its place is enough.</summary>
    private static string Explain(JsonException failure) =>
        failure.Message.Contains("depth", StringComparison.Ordinal) ? "it is nested too deeply."
        : failure.Message.Contains("uplicate", StringComparison.Ordinal) ? "a key appears twice in one object."
        : $"error at line {failure.LineNumber + 1}, byte {failure.BytePositionInLine}.";

    private static ApiException TooLarge(long bytesMax) =>
        ErrorAnswer.TooLarge($"The request body is larger than this server's limit of {bytesMax} bytes.");
}
