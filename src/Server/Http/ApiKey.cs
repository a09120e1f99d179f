using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace NativeLM.Server.Http;

/// <summary>One accepted API key. Its name stands for it in metrics and in the sharing of the machine; its text is not kept.</summary>
internal sealed class ApiKey
{
    private const string HashPrefix = "sha256:";
    private const int NameCharsMax = 64;
    private const int FileBytesMax = 1 << 20;
    private readonly byte[] _digest;

    /// <param name="name">1 to 64 characters of A-Z a-z 0-9 . _ -; "anonymous" is taken.</param>
    /// <param name="text">The key itself, or sha256: and the hash of it in hexadecimal digits.</param>
    /// <param name="weight">Its share of the machine relative to others, 0.001 to 1000.</param>
    /// <exception cref="ArgumentException">One of them is not as said.</exception>
    public ApiKey(string name, string text, double weight = 1)
    {
        if (name.Length is 0 or > NameCharsMax || !name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-') || name == "anonymous")
            throw new ArgumentException(
                $"API key name: found '{Text.Clip(name)}', needed 1 to {NameCharsMax} characters of A-Z a-z 0-9 . _ - other than 'anonymous'");
        if (weight is not (>= 0.001 and <= 1000))
            throw new ArgumentException($"weight of API key {name}: found {weight.ToString(CultureInfo.InvariantCulture)}, needed 0.001 to 1000");
        Name = name;
        Weight = weight;
        _digest = Digest(name, text);
    }

    public string Name { get; }

    public double Weight { get; }

    /// <summary>SHA-256 of the key.</summary>
    public ReadOnlySpan<byte> Sha256 => _digest;

    /// <summary>Reads keys from a file: per line a name, the key (or sha256:HASH) and perhaps a weight, with spaces between; # begins a comment.</summary>
    /// <exception cref="ArgumentException">The file cannot be read or a line is not as said; the message names the line, never the key.</exception>
    public static List<ApiKey> ReadFile(string path)
    {
        List<ApiKey> keys = [];
        int number = 0;
        foreach (string line in Lines(path))
        {
            number++;
            string[] words = line.Split('#')[0].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 0)
                continue;
            double weight = 1;
            if (words.Length is not (2 or 3)
                || (words.Length == 3 && !double.TryParse(words[2], NumberStyles.Float, CultureInfo.InvariantCulture, out weight)))
                throw new ArgumentException($"--api-key-file, line {number}: found {words.Length} words, needed NAME KEY or NAME KEY WEIGHT");
            try
            {
                keys.Add(new ApiKey(words[0], words[1], weight));
            }
            catch (ArgumentException wrong)
            {
                throw new ArgumentException($"--api-key-file, line {number}: {wrong.Message}");
            }
        }
        return keys.Count > 0 ? keys : throw new ArgumentException("--api-key-file: found no key in it, needed at least one");
    }

    private static string[] Lines(string path)
    {
        try
        {
            if (new FileInfo(path).Length > FileBytesMax)
                throw new ArgumentException($"--api-key-file: found more than {FileBytesMax} bytes in '{path}'");
            return File.ReadAllLines(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException($"--api-key-file: '{path}' cannot be read: {failure.Message}");
        }
    }

    private static byte[] Digest(string name, string text)
    {
        if (text.StartsWith(HashPrefix, StringComparison.Ordinal))
        {
            byte[] digest = new byte[SHA256.HashSizeInBytes];
            bool isHash = text.Length == HashPrefix.Length + (2 * digest.Length)
                && Convert.FromHexString(text.AsSpan(HashPrefix.Length), digest, out _, out _) == System.Buffers.OperationStatus.Done;
            return isHash ? digest : throw new ArgumentException($"API key {name}: needed 64 hexadecimal digits after sha256:");
        }
        return text.Length is >= 1 and <= 1024 && text.All(static c => c is > ' ' and < '\x7f')
            ? SHA256.HashData(Encoding.UTF8.GetBytes(text))
            : throw new ArgumentException($"API key {name}: needed 1 to 1024 printable ASCII characters without spaces");
    }
}
