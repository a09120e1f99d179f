using System.Text;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>
/// Text that knows which of its characters came from users (content) and which from the template. Every text operation keeps that apart, because
/// content must never become control tokens. Immutable.
/// </summary>
internal sealed class JinjaText : JinjaValue
{
    // Ascending pairs [start, end): the content stretches.
    private readonly int[] _content;

    private JinjaText(string value, int[] content, bool isMarkup = false)
    {
        Value = value;
        _content = content;
        IsMarkup = isMarkup;
    }

    public static JinjaText Empty { get; } = new("", []);

    /// <summary>The characters.</summary>
    public string Value { get; }

    public int Length => Value.Length;

    /// <summary>Whether the safe or escape filter made it: what is added to it is escaped, as MarkupSafe does.</summary>
    public bool IsMarkup { get; }

    /// <summary>Content stretches as ascending pairs of start and end.</summary>
    public ReadOnlySpan<int> Content => _content;

    /// <summary>Text of the template's own.</summary>
    public static JinjaText FromTemplate(string value) => value.Length == 0 ? Empty : new JinjaText(value, []);

    /// <summary>Text that came from a user.</summary>
    public static JinjaText FromContent(string value) => value.Length == 0 ? Empty : new JinjaText(value, [0, value.Length]);

    internal static JinjaText Create(string value, int[] content) => value.Length == 0 ? Empty : new JinjaText(value, content);

    /// <summary>Part of the text.</summary>
    public JinjaText Slice(int start, int length)
    {
        if (length <= 0)
            return Empty;
        if (length == Value.Length)
            return this;
        int end = start + length;
        var content = new List<int>();
        for (int i = 0; i < _content.Length; i += 2)
        {
            int from = Math.Max(_content[i], start), to = Math.Min(_content[i + 1], end);
            if (from < to)
            {
                content.Add(from - start);
                content.Add(to - start);
            }
        }
        return new JinjaText(Value.Substring(start, length), [.. content], IsMarkup);
    }

    /// <summary>The same stretches over other characters, for mappings that keep the length; else all of it counts as content if any did.</summary>
    public JinjaText WithValue(string value)
    {
        if (value.Length == Value.Length)
            return new JinjaText(value, _content, IsMarkup);
        return new JinjaText(value, _content.Length == 0 || value.Length == 0 ? [] : [0, value.Length], IsMarkup);
    }

    /// <summary>The same text as markup, or not.</summary>
    public JinjaText WithMarkup(bool isMarkup) => isMarkup == IsMarkup ? this : new JinjaText(Value, _content, isMarkup);

    /// <summary>This text followed by another, neither of them escaped.</summary>
    public JinjaText Concat(JinjaText other)
    {
        if (other.Length == 0)
            return this;
        if (Length == 0)
            return other;
        var builder = new JinjaTextBuilder();
        builder.Append(this);
        builder.Append(other);
        return builder.ToText().WithMarkup(IsMarkup);
    }

    public override string TypeName => "str";

    public override string ToString() => Value;
}

/// <summary>Builds a <see cref="JinjaText"/> from parts.</summary>
internal sealed class JinjaTextBuilder
{
    private readonly StringBuilder _value = new();
    private readonly List<int> _content = [];

    public int Length => _value.Length;

    public void Append(JinjaText text)
    {
        int offset = _value.Length;
        _value.Append(text.Value);
        ReadOnlySpan<int> content = text.Content;
        for (int i = 0; i < content.Length; i += 2)
            AddContent(offset + content[i], offset + content[i + 1]);
    }

    /// <summary>Adds characters of the template's own.</summary>
    public void Append(string text) => _value.Append(text);

    /// <summary>Adds one character of the given origin.</summary>
    public void Append(char c, bool isContent)
    {
        _value.Append(c);
        if (isContent)
            AddContent(_value.Length - 1, _value.Length);
    }

    public JinjaText ToText() => JinjaText.Create(_value.ToString(), [.. _content]);

    private void AddContent(int start, int end)
    {
        if (_content.Count > 0 && _content[^1] == start)
            _content[^1] = end;
        else
        {
            _content.Add(start);
            _content.Add(end);
        }
    }
}
