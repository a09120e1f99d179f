using System.Globalization;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>Tokens to statements. Nesting is bounded, since each level costs stack.</summary>
internal sealed class JinjaParser
{
    private const int NestingMax = 100;

    private readonly List<JinjaToken> _tokens;
    private int _at;
    private int _nesting;

    private JinjaParser(List<JinjaToken> tokens) => _tokens = tokens;

    private JinjaToken Current => _tokens[_at];

    /// <summary>Reads a template.</summary>
    /// <exception cref="ChatTemplateException">It is not one, uses a statement, filter or test that is not known, or nests too deeply.</exception>
    public static IReadOnlyList<JinjaStatement> Parse(string source)
    {
        var parser = new JinjaParser(JinjaLexer.Read(source));
        IReadOnlyList<JinjaStatement> body = parser.Body([]);
        if (parser.Current.Kind != JinjaTokenKind.End)
            throw parser.Unexpected();
        return body;
    }

    // ---- statements

    /// <summary>Statements up to a block that begins with one of <paramref name="ends"/>; leaves that name as the current token.</summary>
    private List<JinjaStatement> Body(ReadOnlySpan<string> ends)
    {
        Nest();
        var body = new List<JinjaStatement>();
        while (Current.Kind != JinjaTokenKind.End)
        {
            JinjaToken token = Next();
            switch (token.Kind)
            {
                case JinjaTokenKind.Data:
                    body.Add(new Data(token.Line, JinjaText.FromTemplate(token.Text)));
                    break;
                case JinjaTokenKind.VariableBegin:
                    body.Add(new Output(token.Line, TupleOrExpression()));
                    Expect(JinjaTokenKind.VariableEnd);
                    break;
                case JinjaTokenKind.BlockBegin when Current.Kind == JinjaTokenKind.Name && ends.Contains(Current.Text):
                    _nesting--;
                    return body;
                case JinjaTokenKind.BlockBegin:
                    body.Add(Statement());
                    break;
                default:
                    throw Unexpected();
            }
        }
        if (!ends.IsEmpty)
            throw Error($"the template ends where '{ends[^1]}' was needed");
        _nesting--;
        return body;
    }

    private JinjaStatement Statement()
    {
        JinjaToken name = Expect(JinjaTokenKind.Name);
        switch (name.Text)
        {
            case "if":
                return IfStatement(name.Line);
            case "for":
                return ForStatement(name.Line);
            case "set":
                return SetStatement(name.Line);
            case "macro":
                return MacroStatement(name.Line);
            case "call":
                return CallStatement(name.Line);
            case "filter":
                JinjaExpression filters = FilterChain(null);
                return new FilterBlock(name.Line, filters, Block("endfilter"));
            case "with":
                return WithStatement(name.Line);
            case "generation":
                return new With(name.Line, [], Block("endgeneration"));
            case "do":
                JinjaExpression value = TupleOrExpression();
                Expect(JinjaTokenKind.BlockEnd);
                return new Do(name.Line, value);
            case "break":
                Expect(JinjaTokenKind.BlockEnd);
                return new Break(name.Line);
            case "continue":
                Expect(JinjaTokenKind.BlockEnd);
                return new Continue(name.Line);
            default:
                throw Error($"unknown statement '{name.Text}'");
        }
    }

    private List<JinjaStatement> Block(string end)
    {
        Expect(JinjaTokenKind.BlockEnd);
        List<JinjaStatement> body = Body([end]);
        Next();
        Expect(JinjaTokenKind.BlockEnd);
        return body;
    }

    private If IfStatement(int line)
    {
        var branches = new List<(int Line, JinjaExpression Condition, List<JinjaStatement> Body)>();
        List<JinjaStatement> otherwise = [];
        string end = "elif";
        for (int at = line; end == "elif"; at = Current.Line)
        {
            JinjaExpression condition = TupleOrExpression();
            Expect(JinjaTokenKind.BlockEnd);
            branches.Add((at, condition, Body(["elif", "else", "endif"])));
            end = Next().Text;
        }
        if (end == "else")
            otherwise = Block("endif");
        else
            Expect(JinjaTokenKind.BlockEnd);
        If? result = null;
        for (int i = branches.Count - 1; i >= 0; i--)
            result = new If(branches[i].Line, branches[i].Condition, branches[i].Body, result is null ? otherwise : [result]);
        return result!;
    }

    private For ForStatement(int line)
    {
        JinjaExpression target = Target();
        ExpectName("in");
        JinjaExpression items = TupleOrExpression(withConditional: false);
        JinjaExpression? condition = SkipName("if") ? Expression() : null;
        if (Current is { Kind: JinjaTokenKind.Name, Text: "recursive" })
            throw Error("recursive loops are not supported");
        Expect(JinjaTokenKind.BlockEnd);
        List<JinjaStatement> body = Body(["else", "endfor"]);
        List<JinjaStatement> otherwise = [];
        if (Next().Text == "else")
            otherwise = Block("endfor");
        else
            Expect(JinjaTokenKind.BlockEnd);
        return new For(line, target, items, condition, body, otherwise);
    }

    private JinjaStatement SetStatement(int line)
    {
        JinjaExpression target = Target();
        if (SkipOperator("="))
        {
            JinjaExpression value = TupleOrExpression();
            Expect(JinjaTokenKind.BlockEnd);
            return new Set(line, target, value);
        }
        JinjaExpression? filters = IsOperator("|") ? FilterChain(null, leadingPipe: true) : null;
        return new SetBlock(line, target, filters, Block("endset"));
    }

    private Macro MacroStatement(int line)
    {
        string name = Expect(JinjaTokenKind.Name).Text;
        var parameters = Parameters();
        return new Macro(line, name, parameters, Block("endmacro"));
    }

    private CallBlock CallStatement(int line)
    {
        var parameters = IsOperator("(") ? Parameters() : [];
        if (Unary() is not Call call)
            throw Error("a call block needs a call");
        return new CallBlock(line, new Macro(line, "caller", parameters, Block("endcall")), call);
    }

    private With WithStatement(int line)
    {
        var values = new List<(JinjaExpression, JinjaExpression)>();
        while (Current.Kind != JinjaTokenKind.BlockEnd)
        {
            if (values.Count > 0)
                ExpectOperator(",");
            JinjaExpression target = Target();
            ExpectOperator("=");
            values.Add((target, Expression()));
        }
        return new With(line, values, Block("endwith"));
    }

    private List<(string, JinjaExpression?)> Parameters()
    {
        var parameters = new List<(string, JinjaExpression?)>();
        ExpectOperator("(");
        while (!SkipOperator(")"))
        {
            if (parameters.Count > 0)
                ExpectOperator(",");
            string name = Expect(JinjaTokenKind.Name).Text;
            parameters.Add((name, SkipOperator("=") ? Expression() : null));
        }
        return parameters;
    }

    /// <summary>What set and for assign to: a name, name.member, or several names.</summary>
    private JinjaExpression Target()
    {
        int line = Current.Line;
        var items = new List<JinjaExpression>();
        bool isTuple = false;
        do
        {
            if (items.Count > 0 && (Current.Kind == JinjaTokenKind.BlockEnd || IsOperator("=")))
                break;
            items.Add(OneTarget());
        }
        while (SkipOperator(",") && (isTuple = true));
        return isTuple ? new ListLiteral(line, items, true) : items[0];
    }

    private JinjaExpression OneTarget()
    {
        if (SkipOperator("("))
        {
            Nest();
            JinjaExpression inner = Target();
            ExpectOperator(")");
            _nesting--;
            return inner;
        }
        JinjaToken name = Expect(JinjaTokenKind.Name);
        if (!SkipOperator("."))
            return new Name(name.Line, name.Text);
        return new Attribute(name.Line, new Name(name.Line, name.Text), Expect(JinjaTokenKind.Name).Text);
    }

    // ---- expressions, loosest first

    private JinjaExpression TupleOrExpression(bool withConditional = true)
    {
        int line = Current.Line;
        JinjaExpression first = withConditional ? Expression() : Or();
        if (!IsOperator(","))
            return first;
        var items = new List<JinjaExpression> { first };
        while (SkipOperator(",") && !EndsTuple())
            items.Add(withConditional ? Expression() : Or());
        return new ListLiteral(line, items, true);
    }

    private bool EndsTuple() => Current.Kind is JinjaTokenKind.BlockEnd or JinjaTokenKind.VariableEnd || IsOperator(")");

    private JinjaExpression Expression()
    {
        Nest();
        JinjaExpression value = Or();
        while (Current is { Kind: JinjaTokenKind.Name, Text: "if" })
        {
            int line = Next().Line;
            JinjaExpression condition = Or();
            JinjaExpression? otherwise = SkipName("else") ? Expression() : null;
            value = new Conditional(line, condition, value, otherwise);
        }
        _nesting--;
        return value;
    }

    private JinjaExpression Or()
    {
        JinjaExpression left = And();
        while (Current is { Kind: JinjaTokenKind.Name, Text: "or" })
            left = new Binary(Next().Line, "or", left, And());
        return left;
    }

    private JinjaExpression And()
    {
        JinjaExpression left = Not();
        while (Current is { Kind: JinjaTokenKind.Name, Text: "and" })
            left = new Binary(Next().Line, "and", left, Not());
        return left;
    }

    private JinjaExpression Not()
    {
        if (Current is not { Kind: JinjaTokenKind.Name, Text: "not" })
            return Compare();
        Nest();
        JinjaExpression result = new Unary(Next().Line, "not", Not());
        _nesting--;
        return result;
    }

    private JinjaExpression Compare()
    {
        JinjaExpression first = Sum();
        List<(string, JinjaExpression)>? rest = null;
        while (true)
        {
            string? comparison = null;
            if (Current.Kind == JinjaTokenKind.Operator && Current.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
                comparison = Next().Text;
            else if (SkipName("in"))
                comparison = "in";
            else if (Current is { Kind: JinjaTokenKind.Name, Text: "not" } && _tokens[_at + 1] is { Kind: JinjaTokenKind.Name, Text: "in" })
            {
                _at += 2;
                comparison = "not in";
            }
            if (comparison is null)
                return rest is null ? first : new Comparison(first.Line, first, rest);
            (rest ??= []).Add((comparison, Sum()));
        }
    }

    private JinjaExpression Sum()
    {
        JinjaExpression left = Concatenation();
        while (IsOperator("+") || IsOperator("-"))
        {
            JinjaToken symbol = Next();
            left = new Binary(symbol.Line, symbol.Text, left, Concatenation());
        }
        return left;
    }

    private JinjaExpression Concatenation()
    {
        JinjaExpression left = Product();
        while (IsOperator("~"))
            left = new Binary(Next().Line, "~", left, Product());
        return left;
    }

    private JinjaExpression Product()
    {
        JinjaExpression left = Power();
        while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%"))
        {
            JinjaToken symbol = Next();
            left = new Binary(symbol.Line, symbol.Text, left, Power());
        }
        return left;
    }

    private JinjaExpression Power()
    {
        JinjaExpression left = Unary();
        while (IsOperator("**"))
            left = new Binary(Next().Line, "**", left, Unary());
        return left;
    }

    private JinjaExpression Unary(bool withFilters = true)
    {
        Nest();
        JinjaExpression value;
        if (IsOperator("-") || IsOperator("+"))
        {
            JinjaToken sign = Next();
            value = new Unary(sign.Line, sign.Text, Unary(withFilters: false));
        }
        else
            value = Primary();
        value = Postfix(value);
        if (withFilters)
            value = FiltersAndTests(value);
        _nesting--;
        return value;
    }

    private JinjaExpression Primary()
    {
        JinjaToken token = Next();
        switch (token.Kind)
        {
            case JinjaTokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new Literal(token.Line, JinjaBool.Of(true)),
                    "false" or "False" => new Literal(token.Line, JinjaBool.Of(false)),
                    "none" or "None" => new Literal(token.Line, JinjaNone.Value),
                    _ => new Name(token.Line, token.Text),
                };
            case JinjaTokenKind.String:
                string text = token.Text;
                while (Current.Kind == JinjaTokenKind.String)
                    text += Next().Text;
                return new Literal(token.Line, JinjaText.FromTemplate(text));
            case JinjaTokenKind.Integer:
                return long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long integer)
                    ? new Literal(token.Line, new JinjaInt(integer))
                    : throw Error($"the number {token.Text[..Math.Min(40, token.Text.Length)]} is too large");
            case JinjaTokenKind.Float:
                return new Literal(token.Line, new JinjaFloat(double.Parse(token.Text, CultureInfo.InvariantCulture)));
            case JinjaTokenKind.Operator when token.Text == "(":
                return Parenthesis(token.Line);
            case JinjaTokenKind.Operator when token.Text == "[":
                return new ListLiteral(token.Line, ListItems("]"), false);
            case JinjaTokenKind.Operator when token.Text == "{":
                return MapItems(token.Line);
            default:
                _at--;
                throw Unexpected();
        }
    }

    private JinjaExpression Parenthesis(int line)
    {
        if (SkipOperator(")"))
            return new ListLiteral(line, [], true);
        JinjaExpression value = TupleOrExpression();
        ExpectOperator(")");
        return value;
    }

    private List<JinjaExpression> ListItems(string end)
    {
        var items = new List<JinjaExpression>();
        while (!SkipOperator(end))
        {
            if (items.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator(end))
                    break;
            }
            items.Add(Expression());
        }
        return items;
    }

    private MapLiteral MapItems(int line)
    {
        var entries = new List<(JinjaExpression, JinjaExpression)>();
        while (!SkipOperator("}"))
        {
            if (entries.Count > 0)
            {
                ExpectOperator(",");
                if (SkipOperator("}"))
                    break;
            }
            JinjaExpression key = Expression();
            ExpectOperator(":");
            entries.Add((key, Expression()));
        }
        return new MapLiteral(line, entries);
    }

    private JinjaExpression Postfix(JinjaExpression value)
    {
        for (int length = 0; ; length++)
        {
            if (length > NestingMax)
                throw Error($"more than {NestingMax} members or calls in a row");
            int line = Current.Line;
            if (SkipOperator("."))
            {
                JinjaToken member = Next();
                value = member.Kind switch
                {
                    JinjaTokenKind.Name => new Attribute(line, value, member.Text),
                    JinjaTokenKind.Integer when int.TryParse(member.Text, out int index) => new Subscript(line, value, new Literal(line, new JinjaInt(index))),
                    _ => throw Error($"needed a member name after '.', found '{member.Text}'"),
                };
            }
            else if (SkipOperator("["))
                value = SubscriptOrSlice(line, value);
            else if (IsOperator("("))
                value = new Call(line, value, Arguments());
            else
                return value;
        }
    }

    private JinjaExpression SubscriptOrSlice(int line, JinjaExpression target)
    {
        JinjaExpression? start = null, stop = null, step = null;
        if (!IsOperator(":"))
        {
            start = TupleOrExpression();
            if (SkipOperator("]"))
                return new Subscript(line, target, start);
        }
        ExpectOperator(":");
        if (!IsOperator(":") && !IsOperator("]"))
            stop = Expression();
        if (SkipOperator(":") && !IsOperator("]"))
            step = Expression();
        ExpectOperator("]");
        return new Slice(line, target, start, stop, step);
    }

    private CallArguments Arguments()
    {
        var positional = new List<JinjaExpression>();
        var named = new List<(string, JinjaExpression)>();
        JinjaExpression? spread = null, namedSpread = null;
        ExpectOperator("(");
        for (bool first = true; !SkipOperator(")"); first = false)
        {
            if (!first)
            {
                ExpectOperator(",");
                if (SkipOperator(")"))
                    break;
            }
            if (SkipOperator("**"))
                namedSpread = Expression();
            else if (SkipOperator("*"))
                spread = Expression();
            else if (Current.Kind == JinjaTokenKind.Name && _tokens[_at + 1] is { Kind: JinjaTokenKind.Operator, Text: "=" })
            {
                string name = Next().Text;
                Next();
                named.Add((name, Expression()));
            }
            else if (named.Count > 0)
                throw Error("an argument without a name follows one with a name");
            else
                positional.Add(Expression());
        }
        return new CallArguments(positional, named, spread, namedSpread);
    }

    private JinjaExpression FiltersAndTests(JinjaExpression value)
    {
        for (int length = 0; ; length++)
        {
            if (length > NestingMax)
                throw Error($"more than {NestingMax} filters in a row");
            if (IsOperator("|"))
                value = FilterChain(value, leadingPipe: true);
            else if (Current is { Kind: JinjaTokenKind.Name, Text: "is" })
                value = TestExpression(value);
            else if (IsOperator("("))
                value = new Call(Current.Line, value, Arguments());
            else
                return value;
        }
    }

    /// <summary>name(arguments) | name ...; the first pipe is there after a value and missing in a filter block.</summary>
    private JinjaExpression FilterChain(JinjaExpression? value, bool leadingPipe = false)
    {
        JinjaExpression? chain = value;
        int length = 0;
        for (bool pipe = leadingPipe; !pipe || SkipOperator("|"); pipe = true)
        {
            if (++length > NestingMax)
                throw Error($"more than {NestingMax} filters in a row");
            JinjaToken name = Expect(JinjaTokenKind.Name);
            if (!JinjaFilters.IsKnown(name.Text))
                throw Error($"unknown filter '{name.Text}'");
            chain = new Filter(name.Line, chain, name.Text, IsOperator("(") ? Arguments() : CallArguments.None);
        }
        return chain!;
    }

    private Test TestExpression(JinjaExpression value)
    {
        int line = Next().Line;
        bool negated = SkipName("not");
        JinjaToken name = Next();
        string test = name.Kind is JinjaTokenKind.Name or JinjaTokenKind.Operator ? name.Text : "";
        if (!JinjaTests.IsKnown(test))
            throw Error($"unknown test '{name.Text}'");
        CallArguments arguments = CallArguments.None;
        if (IsOperator("("))
            arguments = Arguments();
        else if (TakesPlainArgument())
            arguments = new CallArguments([Postfix(Primary())], [], null, null);
        return new Test(line, value, test, arguments, negated);
    }

    private bool TakesPlainArgument() => Current.Kind switch
    {
        JinjaTokenKind.Name => Current.Text is not ("else" or "or" or "and" or "if" or "is" or "in" or "not" or "recursive"),
        JinjaTokenKind.String or JinjaTokenKind.Integer or JinjaTokenKind.Float => true,
        JinjaTokenKind.Operator => Current.Text is "[" or "{",
        _ => false,
    };

    // ---- tokens

    private JinjaToken Next() => Current.Kind == JinjaTokenKind.End ? throw Unexpected() : _tokens[_at++];

    private JinjaToken Expect(JinjaTokenKind kind) => Current.Kind == kind ? Next() : throw Error($"needed {Describe(kind)}, found '{Shown()}'");

    private void ExpectOperator(string text)
    {
        if (!SkipOperator(text))
            throw Error($"needed '{text}', found '{Shown()}'");
    }

    private void ExpectName(string text)
    {
        if (!SkipName(text))
            throw Error($"needed '{text}', found '{Shown()}'");
    }

    private bool IsOperator(string text) => Current.Kind == JinjaTokenKind.Operator && Current.Text == text;

    private bool SkipOperator(string text)
    {
        if (!IsOperator(text))
            return false;
        _at++;
        return true;
    }

    private bool SkipName(string text)
    {
        if (Current.Kind != JinjaTokenKind.Name || Current.Text != text)
            return false;
        _at++;
        return true;
    }

    private void Nest()
    {
        if (++_nesting > NestingMax)
            throw Error($"nested deeper than {NestingMax} levels");
    }

    private string Shown() => Current.Text.Length <= 40 ? Current.Text : Current.Text[..40] + "...";

    private static string Describe(JinjaTokenKind kind) => kind switch
    {
        JinjaTokenKind.Name => "a name",
        JinjaTokenKind.BlockEnd => "'%}'",
        JinjaTokenKind.VariableEnd => "'}}'",
        _ => kind.ToString(),
    };

    private ChatTemplateException Unexpected() => Error($"unexpected '{Shown()}'");

    private ChatTemplateException Error(string message) =>
        new(ChatTemplateErrorKind.Syntax, $"chat template, line {Current.Line}: {message}", Current.Line);
}
