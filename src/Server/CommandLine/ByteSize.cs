using System.Buffers;
using System.Globalization;

namespace NativeLM.Server.CommandLine;

/// <summary>Sizes as people write them: 512M, 4GiB, 1.5g. Every letter counts in powers of 1024, as in vLLM's upper-case suffixes.</summary>
internal static class ByteSize
{
    private static readonly SearchValues<char> NumberChars = SearchValues.Create("0123456789.");

    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        string trimmed = text.Trim();
        int digits = trimmed.AsSpan().IndexOfAnyExcept(NumberChars);
        string number = digits < 0 ? trimmed : trimmed[..digits];
        string suffix = digits < 0 ? "" : trimmed[digits..].Trim().ToUpperInvariant();
        int power = suffix switch
        {
            "" or "B" => 0,
            "K" or "KB" or "KIB" => 1,
            "M" or "MB" or "MIB" => 2,
            "G" or "GB" or "GIB" => 3,
            "T" or "TB" or "TIB" => 4,
            _ => -1,
        };
        if (power < 0 || !decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal value)
            || value > 1L << 50)
            return false;
        decimal scaled = value * (1L << (10 * power));
        if (scaled is < 1 or > long.MaxValue)
            return false;
        bytes = (long)scaled;
        return true;
    }

    public static string Format(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        int unit = 0;
        double value = bytes;
        for (; value >= 1024 && unit < units.Length - 1; unit++)
            value /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{value:0.##} {units[unit]}");
    }
}
