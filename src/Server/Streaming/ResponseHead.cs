using System.Buffers;
using System.Text.Json;
using NativeLM.Server.Http;

namespace NativeLM.Server.Streaming;

/// <summary>The fields that every answer and every chunk of one request starts with, encoded once.</summary>
internal sealed class ResponseHead
{
    private readonly byte[] _prefix;

    public ResponseHead(string id, string objectName, string model, string fingerprint, bool isChat)
    {
        ArrayBufferWriter<byte> buffer = new(256);
        using (Utf8JsonWriter json = new(buffer, JsonAnswer.WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("id"u8, id);
            json.WriteString("object"u8, objectName);
            json.WriteNumber("created"u8, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
            json.WriteString("model"u8, model);
            if (isChat)
                json.WriteString("service_tier"u8, "default"u8);
            json.WriteString("system_fingerprint"u8, fingerprint);
            json.WritePropertyName("choices"u8);
        }
        buffer.Write("["u8);
        _prefix = buffer.WrittenSpan.ToArray();
    }

    /// <summary>Everything from the opening brace to the opening bracket of choices.</summary>
    public ReadOnlySpan<byte> Prefix => _prefix;
}
