using System.Text.Json;

namespace NativeLM.Engine.Tokenization;

/// <summary>JSON files read under bounds, with errors that name the file.</summary>
internal static class JsonFile
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 32 };

    /// <summary>Reads a whole file of at most <paramref name="maxBytes"/>.</summary>
    public static JsonDocument Open(string file, long maxBytes)
    {
        try
        {
            long length = new FileInfo(file).Length;
            if (length > maxBytes)
                throw new TokenizerFormatException(file, $"has {length} bytes, at most {maxBytes} are read");
            byte[] bytes = File.ReadAllBytes(file);
            ReadOnlyMemory<byte> json = bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
            return JsonDocument.Parse(json, Options);
        }
        catch (JsonException error)
        {
            throw new TokenizerFormatException(file, $"is not valid JSON: {error.Message}", error);
        }
        catch (IOException error)
        {
            throw new TokenizerFormatException(file, $"cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Parses text that came from <paramref name="file"/>.</summary>
    public static JsonDocument Parse(string json, string file)
    {
        try
        {
            return JsonDocument.Parse(json, Options);
        }
        catch (Exception error) when (error is JsonException or ArgumentException) // the latter: lone surrogates
        {
            throw new TokenizerFormatException(file, $"is not valid JSON: {error.Message}", error);
        }
    }

    /// <summary>A JSON string; a lone surrogate in it is an error of the file.</summary>
    public static string String(JsonElement value, string file)
    {
        try
        {
            return value.GetString() ?? throw new TokenizerFormatException(file, "needed a string, found null");
        }
        catch (InvalidOperationException error)
        {
            throw new TokenizerFormatException(file, $"needed a string of valid Unicode, found {value.ValueKind}", error);
        }
    }
}
