using System.Globalization;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>tojson as Hugging Face has it: Python's json.dumps without ASCII or HTML escaping.</summary>
internal sealed class JinjaJson
{
    private readonly JinjaTextBuilder _builder = new();
    private readonly JinjaFuel _fuel;
    private readonly string? _indent; // one level; null: all on one line
    private readonly JinjaText _itemSeparator;
    private readonly JinjaText _keySeparator;
    private readonly bool _asciiOnly;
    private readonly bool _sortKeys;
    private int _level;

    private JinjaJson(JinjaArguments arguments, JinjaFuel fuel)
    {
        _fuel = fuel;
        JinjaValue? Option(string name) => arguments.Named.GetValueOrDefault(name);
        _asciiOnly = Option("ensure_ascii") is JinjaValue ascii && JinjaOperators.IsTrue(ascii);
        _sortKeys = Option("sort_keys") is JinjaValue sort && JinjaOperators.IsTrue(sort);
        JinjaValue? indent = Option("indent") ?? (arguments.Positional.Count > 0 ? arguments.Positional[0] : null);
        _indent = indent is JinjaText text ? text.Value
            : JinjaOperators.Integer(indent) is long width ? new string(' ', (int)Math.Clamp(width, 0, 64)) : null;
        (_itemSeparator, _keySeparator) = (JinjaText.FromTemplate(_indent is null ? ", " : ","), JinjaText.FromTemplate(": "));
        if (Option("separators") is JinjaList { Items: [JinjaText items, JinjaText keys] })
            (_itemSeparator, _keySeparator) = (items, keys);
    }

    /// <summary>JSON text of a value.</summary>
    public static JinjaText Write(JinjaValue value, JinjaArguments arguments, JinjaFuel fuel)
    {
        var json = new JinjaJson(arguments, fuel);
        json.Write(value);
        return json._builder.ToText();
    }

    private void Write(JinjaValue value)
    {
        _fuel.Enter();
        switch (value)
        {
            case JinjaNone:
                _builder.Append("null");
                break;
            case JinjaBool boolean:
                _builder.Append(boolean.Value ? "true" : "false");
                break;
            case JinjaInt integer:
                _builder.Append(integer.Value.ToString(CultureInfo.InvariantCulture));
                break;
            case JinjaFloat number:
                _builder.Append(JinjaOperators.FloatText(number.Value).Replace("nan", "NaN", StringComparison.Ordinal)
                    .Replace("inf", "Infinity", StringComparison.Ordinal));
                break;
            case JinjaText text:
                WriteText(text);
                break;
            case JinjaList list:
                WriteAll("[", "]", list.Items, Write);
                break;
            case JinjaMap map:
                IEnumerable<KeyValuePair<JinjaValue, JinjaValue>> entries = map.Entries;
                if (_sortKeys)
                    entries = entries.OrderBy(entry => JinjaOperators.Print(entry.Key, _fuel).Value, StringComparer.Ordinal);
                WriteAll("{", "}", [.. entries], WriteEntry);
                break;
            default:
                throw JinjaOperators.Error($"Object of type {value.TypeName} is not JSON serializable");
        }
        _fuel.SpendText(value is JinjaText written ? written.Length : 0, _builder.Length);
        _fuel.Leave();
    }

    private void WriteEntry(KeyValuePair<JinjaValue, JinjaValue> entry)
    {
        if (entry.Key is JinjaText text)
            WriteText(text);
        else
        {
            _builder.Append("\"");
            Write(entry.Key);
            _builder.Append("\"");
        }
        _builder.Append(_keySeparator);
        Write(entry.Value);
    }

    private void WriteAll<T>(string open, string close, List<T> items, Action<T> write)
    {
        _builder.Append(open);
        _level++;
        for (int i = 0; i < items.Count; i++)
        {
            if (i > 0)
                _builder.Append(_itemSeparator);
            NewLine();
            write(items[i]);
        }
        _level--;
        if (items.Count > 0)
            NewLine();
        _builder.Append(close);
    }

    private void NewLine()
    {
        if (_indent is null)
            return;
        _builder.Append("\n");
        for (int i = 0; i < _level; i++)
            _builder.Append(_indent);
    }

    private void WriteText(JinjaText text)
    {
        _builder.Append("\"");
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text.Value[i];
            string? escape = c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                > '~' when _asciiOnly => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => null,
            };
            if (escape is null)
                continue;
            _builder.Append(text.Slice(start, i - start));
            _builder.Append(JinjaText.FromContent(escape));
            start = i + 1;
        }
        _builder.Append(text.Slice(start, text.Length - start));
        _builder.Append("\"");
    }
}
