namespace NativeLM.Engine.ChatTemplates;

/// <summary>An expression.</summary>
internal abstract record JinjaExpression(int Line);

internal sealed record Literal(int Line, JinjaValue Value) : JinjaExpression(Line);

internal sealed record Name(int Line, string Text) : JinjaExpression(Line);

/// <summary>[a, b] or (a, b).</summary>
internal sealed record ListLiteral(int Line, IReadOnlyList<JinjaExpression> Items, bool IsTuple) : JinjaExpression(Line);

internal sealed record MapLiteral(int Line, IReadOnlyList<(JinjaExpression Key, JinjaExpression Value)> Entries) : JinjaExpression(Line);

internal sealed record Unary(int Line, string Operator, JinjaExpression Operand) : JinjaExpression(Line);

internal sealed record Binary(int Line, string Operator, JinjaExpression Left, JinjaExpression Right) : JinjaExpression(Line);

/// <summary>a &lt; b &lt;= c, each pair compared once.</summary>
internal sealed record Comparison(int Line, JinjaExpression First, IReadOnlyList<(string Operator, JinjaExpression Right)> Rest) : JinjaExpression(Line);

/// <summary>a if condition else b.</summary>
internal sealed record Conditional(int Line, JinjaExpression Condition, JinjaExpression Then, JinjaExpression? Else) : JinjaExpression(Line);

/// <summary>value.name: methods before members.</summary>
internal sealed record Attribute(int Line, JinjaExpression Target, string Member) : JinjaExpression(Line);

/// <summary>value[index]: members before methods.</summary>
internal sealed record Subscript(int Line, JinjaExpression Target, JinjaExpression Index) : JinjaExpression(Line);

/// <summary>value[start:stop:step].</summary>
internal sealed record Slice(int Line, JinjaExpression Target, JinjaExpression? Start, JinjaExpression? Stop, JinjaExpression? Step) : JinjaExpression(Line);

internal sealed record Call(int Line, JinjaExpression Target, CallArguments Arguments) : JinjaExpression(Line);

/// <summary>value | name(arguments); Value is null inside a filter block.</summary>
internal sealed record Filter(int Line, JinjaExpression? Value, string Name, CallArguments Arguments) : JinjaExpression(Line);

/// <summary>value is name(arguments).</summary>
internal sealed record Test(int Line, JinjaExpression Value, string Name, CallArguments Arguments, bool Negated) : JinjaExpression(Line);

/// <summary>Arguments as written.</summary>
internal sealed record CallArguments(
    IReadOnlyList<JinjaExpression> Positional,
    IReadOnlyList<(string Name, JinjaExpression Value)> Named,
    JinjaExpression? Spread,
    JinjaExpression? NamedSpread)
{
    public static CallArguments None { get; } = new([], [], null, null);
}

/// <summary>A statement.</summary>
internal abstract record JinjaStatement(int Line);

internal sealed record Data(int Line, JinjaText Text) : JinjaStatement(Line);

internal sealed record Output(int Line, JinjaExpression Value) : JinjaStatement(Line);

internal sealed record If(int Line, JinjaExpression Condition, IReadOnlyList<JinjaStatement> Then, IReadOnlyList<JinjaStatement> Else) : JinjaStatement(Line);

internal sealed record For(
    int Line,
    JinjaExpression Target,
    JinjaExpression Items,
    JinjaExpression? Condition,
    IReadOnlyList<JinjaStatement> Body,
    IReadOnlyList<JinjaStatement> Else) : JinjaStatement(Line);

internal sealed record Set(int Line, JinjaExpression Target, JinjaExpression Value) : JinjaStatement(Line);

/// <summary>{% set x | filters %}...{% endset %}.</summary>
internal sealed record SetBlock(int Line, JinjaExpression Target, JinjaExpression? Filters, IReadOnlyList<JinjaStatement> Body) : JinjaStatement(Line);

internal sealed record Macro(
    int Line,
    string Name,
    IReadOnlyList<(string Name, JinjaExpression? Default)> Parameters,
    IReadOnlyList<JinjaStatement> Body) : JinjaStatement(Line);

/// <summary>{% call(parameters) macro(...) %}...{% endcall %}.</summary>
internal sealed record CallBlock(int Line, Macro Caller, Call Call) : JinjaStatement(Line);

internal sealed record FilterBlock(int Line, JinjaExpression Filters, IReadOnlyList<JinjaStatement> Body) : JinjaStatement(Line);

/// <summary>{% with a = 1 %}; also the generation tag, with nothing set.</summary>
internal sealed record With(int Line, IReadOnlyList<(JinjaExpression Target, JinjaExpression Value)> Values, IReadOnlyList<JinjaStatement> Body)
    : JinjaStatement(Line);

internal sealed record Break(int Line) : JinjaStatement(Line);

internal sealed record Continue(int Line) : JinjaStatement(Line);

/// <summary>{% do expression %}.</summary>
internal sealed record Do(int Line, JinjaExpression Value) : JinjaStatement(Line);
