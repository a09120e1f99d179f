namespace NativeLM.Server.Http;

/// <summary>Client text made fit for an error message: short and without control characters or broken surrogates.</summary>
internal static class Text
{
    private const int CharsMax = 100;

    public static string Clip(string text)
    {
        int length = Math.Min(text.Length, CharsMax);
        string clipped = string.Create(length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
                span[i] = char.IsControl(source[i]) || char.IsSurrogate(source[i]) ? '?' : source[i];
        });
        return length < text.Length ? clipped + "…" : clipped;
    }
}
