using System.Globalization;
using System.Text;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>Text operations that keep track of which characters are content. Positions that templates see count code points.</summary>
internal static class JinjaStrings
{
    public static JinjaText Repeat(JinjaText text, long count, JinjaFuel fuel)
    {
        if (count <= 0 || text.Length == 0)
            return JinjaText.Empty;
        fuel.SpendText(count > fuel.TextMax ? long.MaxValue : text.Length * count);
        var builder = new JinjaTextBuilder();
        for (long i = 0; i < count; i++)
            builder.Append(text);
        return builder.ToText();
    }

    /// <summary>left + right: where one is markup, the other is escaped first and the result is markup.</summary>
    public static JinjaText Add(JinjaText left, JinjaText right, JinjaFuel fuel)
    {
        bool isMarkup = left.IsMarkup || right.IsMarkup;
        if (isMarkup)
            (left, right) = (Escape(left, fuel), Escape(right, fuel));
        fuel.SpendText((long)left.Length + right.Length);
        return left.Concat(right).WithMarkup(isMarkup);
    }

    /// <summary>HTML escapes for &amp; &lt; &gt; ' "; markup stays as it is.</summary>
    public static JinjaText Escape(JinjaText text, JinjaFuel fuel)
    {
        if (text.IsMarkup)
            return text;
        foreach ((string raw, string escaped) in ((string, string)[])[("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")])
            text = Replace(text, JinjaText.FromTemplate(raw), JinjaText.FromContent(escaped), -1, fuel);
        return text.WithMarkup(true);
    }

    /// <summary>Number of code points.</summary>
    public static int Length(JinjaText text) => text.Length - Pairs(text.Value);

    private static int Pairs(string text)
    {
        int pairs = 0;
        for (int at = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDBFF'); at >= 0 && at < text.Length; at++)
            if (char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]))
                pairs++;
        return pairs;
    }

    /// <summary>UTF-16 positions of all code points and of the end, or null when they are the same.</summary>
    private static int[]? Positions(string text)
    {
        if (Pairs(text) == 0)
            return null;
        var positions = new List<int>();
        for (int at = 0; at < text.Length; at += char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]) ? 2 : 1)
            positions.Add(at);
        positions.Add(text.Length);
        return [.. positions];
    }

    /// <summary>The code points, each as a text.</summary>
    public static List<JinjaValue> Characters(JinjaText text)
    {
        int[]? positions = Positions(text.Value);
        int count = positions is null ? text.Length : positions.Length - 1;
        var characters = new List<JinjaValue>(count);
        for (int i = 0; i < count; i++)
            characters.Add(positions is null ? text.Slice(i, 1) : text.Slice(positions[i], positions[i + 1] - positions[i]));
        return characters;
    }

    /// <summary>Characters [start, stop) by code point, step 1.</summary>
    public static JinjaText Substring(JinjaText text, int start, int stop)
    {
        int[]? positions = Positions(text.Value);
        return positions is null ? text.Slice(start, stop - start) : stop <= start ? JinjaText.Empty : text.Slice(positions[start], positions[stop] - positions[start]);
    }

    /// <summary>Without white space, or the given characters, at the ends.</summary>
    public static JinjaText Strip(JinjaText text, string? characters, bool left, bool right)
    {
        bool Goes(char c) => characters is null ? IsSpace(c) : characters.Contains(c, StringComparison.Ordinal);
        int start = 0, end = text.Length;
        while (left && start < end && Goes(text.Value[start]))
            start++;
        while (right && end > start && Goes(text.Value[end - 1]))
            end--;
        return text.Slice(start, end - start);
    }

    /// <summary>White space as str.strip sees it.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    public static JinjaText Replace(JinjaText text, JinjaText old, JinjaText replacement, long count, JinjaFuel fuel)
    {
        var builder = new JinjaTextBuilder();
        int from = 0;
        if (count < 0)
            count = long.MaxValue;
        while (count > 0)
        {
            int at = old.Length == 0 ? from : text.Value.IndexOf(old.Value, from, StringComparison.Ordinal);
            if (at < 0)
                break;
            fuel.SpendText(at - from + replacement.Length, (long)builder.Length + at - from + replacement.Length);
            builder.Append(text.Slice(from, at - from));
            builder.Append(replacement);
            count--;
            if (old.Length > 0)
                from = at + old.Length;
            else if (from >= text.Length)
                break;
            else
            {
                builder.Append(text.Slice(from, 1));
                from++;
            }
        }
        builder.Append(text.Slice(from, text.Length - from));
        fuel.Spend(1 + text.Length / 8);
        return builder.ToText();
    }

    /// <summary>str.split and str.rsplit: by white space when <paramref name="separator"/> is null.</summary>
    public static JinjaList Split(JinjaText text, string? separator, long limit, bool fromRight, JinjaFuel fuel)
    {
        if (separator is { Length: 0 })
            throw JinjaOperators.Error("empty separator");
        fuel.Spend(1 + text.Length / 4);
        List<(int Start, int End)> parts = separator is null
            ? SplitWords(text.Value, limit < 0 ? int.MaxValue : limit, fromRight)
            : SplitBy(text.Value, separator, limit < 0 ? int.MaxValue : limit, fromRight);
        return new JinjaList(parts.Select(part => (JinjaValue)text.Slice(part.Start, part.End - part.Start)));
    }

    private static List<(int, int)> SplitBy(string text, string separator, long limit, bool fromRight)
    {
        var parts = new List<(int, int)>();
        if (!fromRight)
        {
            int from = 0;
            for (int at; limit > 0 && (at = text.IndexOf(separator, from, StringComparison.Ordinal)) >= 0; limit--)
            {
                parts.Add((from, at));
                from = at + separator.Length;
            }
            parts.Add((from, text.Length));
            return parts;
        }
        int end = text.Length;
        for (int at; limit > 0 && (at = text.AsSpan(0, end).LastIndexOf(separator)) >= 0; limit--)
        {
            parts.Add((at + separator.Length, end));
            end = at;
        }
        parts.Add((0, end));
        parts.Reverse();
        return parts;
    }

    private static List<(int, int)> SplitWords(string text, long limit, bool fromRight)
    {
        var parts = new List<(int, int)>();
        int start = 0, end = text.Length;
        while (true)
        {
            while (start < end && IsSpace(text[start]))
                start++;
            while (fromRight && end > start && IsSpace(text[end - 1]))
                end--;
            if (start >= end)
                break;
            int cut = fromRight ? end : start;
            while (limit > 0 && (fromRight ? cut > start && !IsSpace(text[cut - 1]) : cut < end && !IsSpace(text[cut])))
                cut += fromRight ? -1 : 1;
            if (limit-- <= 0)
            {
                parts.Add((start, fromRight ? end : text.Length));
                break;
            }
            parts.Add(fromRight ? (cut, end) : (start, cut));
            (start, end) = fromRight ? (start, cut) : (cut, end);
        }
        if (fromRight)
            parts.Reverse();
        return parts;
    }

    public static JinjaList SplitLines(JinjaText text, bool keepEnds)
    {
        var lines = new JinjaList();
        for (int start = 0; start < text.Length;)
        {
            int end = start;
            while (end < text.Length && text.Value[end] is not ('\n' or '\r' or '\v' or '\f' or '\x85' or '\u2028' or '\u2029'))
                end++;
            int next = end >= text.Length ? end : text.Value[end] == '\r' && end + 1 < text.Length && text.Value[end + 1] == '\n' ? end + 2 : end + 1;
            lines.Items.Add(text.Slice(start, (keepEnds ? next : end) - start));
            start = next;
        }
        return lines;
    }

    /// <summary>First letter upper case, the rest lower.</summary>
    public static JinjaText Capitalize(JinjaText text) => text.Length == 0
        ? text
        : text.WithValue(string.Concat(text.Value[..1].ToUpperInvariant(), text.Value.AsSpan(1).ToString().ToLowerInvariant()));

    /// <summary>First letter of each word upper case; <paramref name="isWordBreak"/> tells what ends a word.</summary>
    public static JinjaText Title(JinjaText text, Func<char, bool> isWordBreak)
    {
        var characters = text.Value.ToCharArray();
        bool begins = true;
        for (int i = 0; i < characters.Length; i++)
        {
            characters[i] = begins ? char.ToUpperInvariant(characters[i]) : char.ToLowerInvariant(characters[i]);
            begins = isWordBreak(characters[i]);
        }
        return text.WithValue(new string(characters));
    }

    /// <summary>The indent filter: every line but the first.</summary>
    public static JinjaText Indent(JinjaText text, JinjaText indentation, bool first, bool blank, JinjaFuel fuel)
    {
        var builder = new JinjaTextBuilder();
        if (first)
            builder.Append(indentation);
        int start = 0;
        while (true)
        {
            int end = text.Value.IndexOf('\n', start);
            builder.Append(text.Slice(start, (end < 0 ? text.Length : end) - start));
            fuel.SpendText((end < 0 ? text.Length : end) - start, builder.Length);
            if (end < 0)
                return builder.ToText();
            builder.Append("\n");
            start = end + 1;
            bool nextIsBlank = start == text.Length || text.Value[start] == '\n';
            if (blank || !nextIsBlank)
                builder.Append(indentation);
        }
    }

    /// <summary>Python's quoted spelling.</summary>
    public static void Quote(JinjaText text, JinjaTextBuilder builder)
    {
        char quote = text.Value.Contains('\'', StringComparison.Ordinal) && !text.Value.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        builder.Append(quote.ToString());
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text.Value[i];
            string? escape = c switch
            {
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\\' => "\\\\",
                _ when c == quote => "\\" + c,
                < ' ' or '\x7f' => string.Create(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                >= '\x80' and <= '\xa0' or '\xad' => string.Create(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => null,
            };
            if (escape is null)
                continue;
            builder.Append(text.Slice(start, i - start));
            builder.Append(JinjaText.FromContent(escape));
            start = i + 1;
        }
        builder.Append(text.Slice(start, text.Length - start));
        builder.Append(quote.ToString());
    }

    /// <summary>The % operator and the format filter: %s %r %d %i %f %x %%, with width and precision.</summary>
    public static JinjaText FormatPercent(JinjaText format, IReadOnlyList<JinjaValue> values, JinjaFuel fuel)
    {
        var builder = new JinjaTextBuilder();
        int next = 0, start = 0;
        for (int at; (at = format.Value.IndexOf('%', start)) >= 0;)
        {
            builder.Append(format.Slice(start, at - start));
            int end = at + 1;
            while (end < format.Length && (char.IsAsciiDigit(format.Value[end]) || format.Value[end] is '.' or '-' or '+' or ' ' or '#'))
                end++;
            if (end >= format.Length)
                throw JinjaOperators.Error("incomplete format");
            string options = format.Value[(at + 1)..end];
            char kind = format.Value[end];
            start = end + 1;
            if (kind == '%')
            {
                builder.Append("%");
                continue;
            }
            if (next >= values.Count)
                throw JinjaOperators.Error("not enough arguments for format string");
            JinjaText text = FormatOne(kind, options, values[next++], fuel);
            fuel.SpendText(text.Length, (long)builder.Length + text.Length);
            builder.Append(text);
        }
        if (next < values.Count)
            throw JinjaOperators.Error("not all arguments converted during string formatting");
        builder.Append(format.Slice(start, format.Length - start));
        return builder.ToText();
    }

    private static JinjaText FormatOne(char kind, string options, JinjaValue value, JinjaFuel fuel)
    {
        bool left = options.StartsWith('-'), zeros = options.StartsWith('0');
        string[] parts = options.TrimStart('-', '+', ' ', '#', '0').Split('.');
        int width = int.TryParse(parts[0], out int w) ? Math.Min(w, 4096) : 0;
        int precision = parts.Length > 1 && int.TryParse(parts[1], out int p) ? Math.Min(p, 100) : -1;
        JinjaText text = kind switch
        {
            's' => JinjaOperators.Print(value, fuel),
            'r' => Representation(value, fuel),
            'd' or 'i' when JinjaOperators.Number(value) is double number =>
                JinjaText.FromTemplate((JinjaOperators.Integer(value) ?? (long)number).ToString(CultureInfo.InvariantCulture)),
            'x' when JinjaOperators.Integer(value) is long integer => JinjaText.FromTemplate(integer.ToString("x", CultureInfo.InvariantCulture)),
            'f' when JinjaOperators.Number(value) is double number =>
                JinjaText.FromTemplate(number.ToString("F" + (precision < 0 ? 6 : precision), CultureInfo.InvariantCulture)),
            _ => throw JinjaOperators.Error($"format '%{kind}' does not take '{value.TypeName}'"),
        };
        if (kind == 's' && precision >= 0)
            text = Substring(text, 0, Math.Min(precision, Length(text)));
        if (text.Length >= width)
            return text;
        JinjaText padding = JinjaText.FromTemplate(new string(zeros && kind != 's' ? '0' : ' ', width - text.Length));
        return left ? text.Concat(padding) : padding.Concat(text);
    }

    private static JinjaText Representation(JinjaValue value, JinjaFuel fuel)
    {
        var builder = new JinjaTextBuilder();
        JinjaOperators.Represent(value, builder, fuel);
        return builder.ToText();
    }

    /// <summary>str.format with {} {0} {name}; no format specification and no member access.</summary>
    public static JinjaText FormatBraces(JinjaText format, JinjaArguments arguments, JinjaFuel fuel)
    {
        var builder = new JinjaTextBuilder();
        int automatic = 0;
        for (int at = 0; at < format.Length; at++)
        {
            char c = format.Value[at];
            if (c is '{' or '}' && at + 1 < format.Length && format.Value[at + 1] == c)
                at++;
            else if (c == '{')
            {
                int end = format.Value.IndexOf('}', at);
                string field = end < 0 ? throw JinjaOperators.Error("expected '}' before end of string") : format.Value[(at + 1)..end];
                JinjaValue? value = field.Length == 0 ? arguments.Find(automatic++, "")
                    : int.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture, out int place) ? arguments.Find(place, "")
                    : arguments.Find(int.MaxValue, field);
                JinjaText text = JinjaOperators.Print(value ?? throw JinjaOperators.Error($"nothing to put in the place of '{{{field}}}'"), fuel);
                fuel.SpendText(text.Length, (long)builder.Length + text.Length);
                builder.Append(text);
                at = end;
                continue;
            }
            else if (c == '}')
                throw JinjaOperators.Error("single '}' encountered in format string");
            builder.Append(format.Slice(at, 1));
        }
        return builder.ToText();
    }
}
