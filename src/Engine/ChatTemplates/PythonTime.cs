using System.Globalization;
using System.Text;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>strftime of the C locale.</summary>
internal static class PythonTime
{
    /// <summary>Formats a time; an unknown directive stays as it is.</summary>
    public static string Format(DateTimeOffset time, string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 >= format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            bool bare = format[i + 1] == '-' && i + 2 < format.Length; // %-d: no leading zero
            char directive = format[i += bare ? 2 : 1];
            string value = Directive(time, directive) ?? "%" + (bare ? "-" : "") + directive;
            text.Append(bare && value.Length > 1 ? value.TrimStart('0').PadLeft(1, '0') : value);
        }
        return text.ToString();
    }

    private static string? Directive(DateTimeOffset time, char directive)
    {
        string Net(string format) => time.ToString(format, CultureInfo.InvariantCulture);
        return directive switch
        {
            'Y' => Net("yyyy"),
            'y' => Net("yy"),
            'm' => Net("MM"),
            'd' => Net("dd"),
            'e' => time.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
            'B' => Net("MMMM"),
            'b' or 'h' => Net("MMM"),
            'A' => Net("dddd"),
            'a' => Net("ddd"),
            'H' => Net("HH"),
            'I' => Net("hh"),
            'M' => Net("mm"),
            'S' => Net("ss"),
            'f' => Net("ffffff"),
            'p' => time.Hour < 12 ? "AM" : "PM",
            'j' => time.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
            'w' => ((int)time.DayOfWeek).ToString(CultureInfo.InvariantCulture),
            'F' => Net("yyyy-MM-dd"),
            'T' => Net("HH:mm:ss"),
            'D' => Net("MM/dd/yy"),
            'z' => Net("zzz").Replace(":", "", StringComparison.Ordinal),
            'Z' => "",
            '%' => "%",
            _ => null,
        };
    }
}
