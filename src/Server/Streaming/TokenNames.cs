using System.Globalization;
using System.Text;
using NativeLM.Engine;

namespace NativeLM.Server.Streaming;

/// <summary>How tokens are called in log-probability reports: their text, or "token_id:N".</summary>
internal sealed class TokenNames(ModelTokenizer tokenizer, bool asIds)
{
    /// <summary>The token's own bytes.</summary>
    public ReadOnlySpan<byte> Bytes(int id) => tokenizer.TokenBytes(id).Span;

    /// <summary>Text, with U+FFFD for bytes that are no character of their own.</summary>
    public string Name(int id) =>
        asIds ? string.Create(CultureInfo.InvariantCulture, $"token_id:{id}")
        : Encoding.UTF8.GetString(Bytes(id));
}
