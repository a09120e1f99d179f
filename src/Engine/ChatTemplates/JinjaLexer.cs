using System.Globalization;
using System.Text;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>Kinds of token.</summary>
internal enum JinjaTokenKind
{
    Data,
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name,
    Integer,
    Float,
    String,
    Operator,
    End,
}

/// <summary>A token with the line it stands on.</summary>
internal readonly record struct JinjaToken(JinjaTokenKind Kind, string Text, int Line);

/// <summary>
/// Cuts template text into tokens, with Hugging Face's settings: trim_blocks (the line break after a block goes) and lstrip_blocks (white space
/// before a block that begins a line goes).
/// </summary>
internal sealed class JinjaLexer
{
    private static readonly string[] Operators =
        ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    private readonly string _source;
    private readonly List<JinjaToken> _tokens = [];
    private int _at;
    private int _line = 1;
    private bool _lineStarting = true; // what was read last ended with a line break

    private JinjaLexer(string source) => _source = source;

    /// <summary>All tokens of a template.</summary>
    /// <exception cref="ChatTemplateException">A tag or text is not closed, or a character belongs to no token.</exception>
    public static List<JinjaToken> Read(string source)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        if (source.EndsWith('\n'))
            source = source[..^1];
        var lexer = new JinjaLexer(source);
        lexer.ReadAll();
        return lexer._tokens;
    }

    private void ReadAll()
    {
        while (_at < _source.Length)
        {
            int tag = NextTag(_at);
            if (tag < 0)
            {
                AddData(_source[_at..]);
                _at = _source.Length;
                break;
            }
            char kind = _source[tag + 1];
            char sign = tag + 2 < _source.Length && _source[tag + 2] is '-' or '+' ? _source[tag + 2] : '\0';
            AddData(TrimBeforeTag(_source[_at..tag], kind, sign));
            CountLines(tag);
            _at = tag + (sign == '\0' ? 2 : 3);
            if (kind == '#')
                SkipComment();
            else if (kind == '%' && TrySkipRawBegin())
                ReadRaw();
            else
                ReadTag(kind == '{');
        }
        _tokens.Add(new JinjaToken(JinjaTokenKind.End, "end of template", _line));
    }

    private int NextTag(int from)
    {
        for (int at = from; ; at++)
        {
            at = _source.IndexOf('{', at);
            if (at < 0 || at + 1 >= _source.Length)
                return -1;
            if (_source[at + 1] is '{' or '%' or '#')
                return at;
        }
    }

    private string TrimBeforeTag(string text, char kind, char sign)
    {
        if (sign == '-')
            return text.TrimEnd();
        if (sign == '+' || kind == '{')
            return text;
        int lineStart = text.LastIndexOf('\n') + 1;
        bool beginsLine = lineStart > 0 || _lineStarting;
        return beginsLine && text.AsSpan(lineStart).IsWhiteSpace() ? text[..lineStart] : text;
    }

    private void AddData(string text)
    {
        if (text.Length > 0)
            _tokens.Add(new JinjaToken(JinjaTokenKind.Data, text, _line));
    }

    private void CountLines(int to) => _line += _source.AsSpan(_at..to).Count('\n');

    private void SkipComment()
    {
        int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
            throw Error("a comment is not closed; needed '#}'");
        char sign = end > _at ? _source[end - 1] : '\0';
        CountLines(end);
        _at = end;
        SkipTagEnd(sign, trimLine: true);
    }

    // At the two characters of a tag's end, `sign` being the character before them.
    private void SkipTagEnd(char sign, bool trimLine)
    {
        int from = _at;
        _at += 2;
        if (sign == '-')
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at]))
                _at++;
        else if (trimLine && sign != '+' && _at < _source.Length && _source[_at] == '\n')
            _at++;
        _line += _source.AsSpan(from.._at).Count('\n');
        _lineStarting = _source[_at - 1] == '\n';
    }

    private bool TrySkipRawBegin()
    {
        int at = SkipSpaces(_at);
        if (string.CompareOrdinal(_source, at, "raw", 0, 3) != 0)
            return false;
        at = SkipSpaces(at + 3);
        char sign = at < _source.Length && _source[at] is '-' or '+' ? _source[at++] : '\0';
        if (string.CompareOrdinal(_source, at, "%}", 0, 2) != 0)
            return false;
        _at = at;
        SkipTagEnd(sign, trimLine: true);
        return true;
    }

    private void ReadRaw()
    {
        for (int from = _at; ;)
        {
            int tag = _source.IndexOf("{%", from, StringComparison.Ordinal);
            if (tag < 0)
                throw Error("a raw block is not closed; needed 'endraw'");
            int at = tag + 2;
            char sign = at < _source.Length && _source[at] is '-' or '+' ? _source[at++] : '\0';
            at = SkipSpaces(at);
            from = tag + 2;
            if (string.CompareOrdinal(_source, at, "endraw", 0, 6) != 0)
                continue;
            at = SkipSpaces(at + 6);
            char endSign = at < _source.Length && _source[at] is '-' or '+' ? _source[at++] : '\0';
            if (string.CompareOrdinal(_source, at, "%}", 0, 2) != 0)
                continue;
            AddData(TrimBeforeTag(_source[_at..tag], '%', sign));
            CountLines(at);
            _at = at;
            SkipTagEnd(endSign, trimLine: true);
            return;
        }
    }

    private int SkipSpaces(int at)
    {
        while (at < _source.Length && char.IsWhiteSpace(_source[at]))
            at++;
        return at;
    }

    private void ReadTag(bool isVariable)
    {
        _tokens.Add(new JinjaToken(isVariable ? JinjaTokenKind.VariableBegin : JinjaTokenKind.BlockBegin, isVariable ? "{{" : "{%", _line));
        string end = isVariable ? "}}" : "%}";
        int open = 0; // brackets: inside them }} closes dictionaries
        while (true)
        {
            int from = _at;
            _at = SkipSpaces(_at);
            _line += _source.AsSpan(from.._at).Count('\n');
            if (_at >= _source.Length)
                throw Error($"a tag is not closed; needed '{end}'");
            if (open == 0)
            {
                char sign = _source[_at] is '-' or '+' ? _source[_at] : '\0';
                if (string.CompareOrdinal(_source, sign == '\0' ? _at : _at + 1, end, 0, 2) == 0)
                {
                    _at += sign == '\0' ? 0 : 1;
                    _tokens.Add(new JinjaToken(isVariable ? JinjaTokenKind.VariableEnd : JinjaTokenKind.BlockEnd, end, _line));
                    SkipTagEnd(sign, trimLine: !isVariable);
                    return;
                }
            }
            open = Math.Max(0, open + ReadToken());
        }
    }

    /// <summary>Reads one token inside a tag; returns how the number of open brackets changes.</summary>
    private int ReadToken()
    {
        char c = _source[_at];
        if (char.IsLetter(c) || c == '_')
        {
            int start = _at;
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_'))
                _at++;
            Add(JinjaTokenKind.Name, _source[start.._at]);
            return 0;
        }
        if (char.IsAsciiDigit(c))
        {
            ReadNumber();
            return 0;
        }
        if (c is '\'' or '"')
        {
            ReadString(c);
            return 0;
        }
        foreach (string symbol in Operators)
        {
            if (string.CompareOrdinal(_source, _at, symbol, 0, symbol.Length) != 0)
                continue;
            _at += symbol.Length;
            Add(JinjaTokenKind.Operator, symbol);
            return symbol is "(" or "[" or "{" ? 1 : symbol is ")" or "]" or "}" ? -1 : 0;
        }
        throw Error($"unexpected character '{c}'");
    }

    private void ReadNumber()
    {
        int start = _at;
        bool afterDot = _tokens[^1] is { Kind: JinjaTokenKind.Operator, Text: "." };
        SkipDigits();
        bool isFloat = false;
        if (!afterDot && _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]))
        {
            isFloat = true;
            _at++;
            SkipDigits();
        }
        if (!afterDot && _at < _source.Length && _source[_at] is 'e' or 'E')
        {
            int exponent = _at + 1;
            if (exponent < _source.Length && _source[exponent] is '+' or '-')
                exponent++;
            if (exponent < _source.Length && char.IsAsciiDigit(_source[exponent]))
            {
                isFloat = true;
                _at = exponent;
                SkipDigits();
            }
        }
        Add(isFloat ? JinjaTokenKind.Float : JinjaTokenKind.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal));
    }

    private void SkipDigits()
    {
        while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || _source[_at] == '_'))
            _at++;
    }

    private void ReadString(char quote)
    {
        int start = _at++;
        while (_at < _source.Length && _source[_at] != quote)
            _at += _source[_at] == '\\' ? 2 : 1;
        if (_at >= _source.Length)
            throw Error("a text is not closed");
        string raw = _source[(start + 1).._at];
        _at++;
        Add(JinjaTokenKind.String, raw.Contains('\\', StringComparison.Ordinal) ? Unescape(raw) : raw);
        _line += raw.AsSpan().Count('\n');
    }

    // Python's escapes; an unknown one stays as it is.
    private static string Unescape(string raw)
    {
        var text = new StringBuilder(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] != '\\' || i + 1 >= raw.Length)
            {
                text.Append(raw[i]);
                continue;
            }
            char c = raw[++i];
            int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
            if (digits > 0 && i + digits < raw.Length
                && uint.TryParse(raw.AsSpan(i + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint point)
                && point <= 0x10FFFF)
            {
                if (Rune.IsValid(point))
                    text.Append(new Rune(point).ToString());
                else
                    text.Append((char)point);
                i += digits;
                continue;
            }
            _ = c switch
            {
                'n' => text.Append('\n'),
                't' => text.Append('\t'),
                'r' => text.Append('\r'),
                '0' => text.Append('\0'),
                'a' => text.Append('\a'),
                'b' => text.Append('\b'),
                'f' => text.Append('\f'),
                'v' => text.Append('\v'),
                '\\' or '\'' or '"' => text.Append(c),
                '\n' => text,
                _ => text.Append('\\').Append(c),
            };
        }
        return text.ToString();
    }

    private void Add(JinjaTokenKind kind, string text) => _tokens.Add(new JinjaToken(kind, text, _line));

    private ChatTemplateException Error(string message) =>
        new(ChatTemplateErrorKind.Syntax, $"chat template, line {_line}: {message}", _line);
}
