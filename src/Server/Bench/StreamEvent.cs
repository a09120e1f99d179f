using System.Text.Json;

namespace NativeLM.Server.Bench;

/// <summary>What a load client must know of one streamed JSON event.</summary>
/// <param name="HasText">A choice carries text or content that is not empty, or a running token count grew.</param>
/// <param name="CompletionTokens">usage.completion_tokens, or -1.</param>
/// <param name="Error">True for an error event.</param>
internal readonly record struct StreamEvent(bool HasText, int CompletionTokens, bool Error)
{
    public static StreamEvent Parse(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json);
        bool hasText = false;
        int tokens = -1;
        bool error = false;
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
                continue;
            if (reader.ValueTextEquals("text"u8) || reader.ValueTextEquals("content"u8))
            {
                reader.Read();
                hasText |= reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length > 0;
            }
            else if (reader.ValueTextEquals("completion_tokens"u8))
            {
                reader.Read();
                tokens = reader.GetInt32();
            }
            else if (reader.ValueTextEquals("error"u8))
            {
                reader.Read();
                error |= reader.TokenType == JsonTokenType.StartObject;
            }
            else if (reader.ValueTextEquals("id"u8) || reader.ValueTextEquals("model"u8))
            {
                reader.Skip();
            }
        }
        return new StreamEvent(hasText, tokens, error);
    }
}
