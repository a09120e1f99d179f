namespace NativeLM.Engine.ChatTemplates;

/// <summary>The tests behind "is".</summary>
internal static class JinjaTests
{
    private static readonly HashSet<string> Known =
    [
        "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "iterable", "sequence",
        "callable", "even", "odd", "divisibleby", "sameas", "lower", "upper", "in", "filter", "test", "eq", "equalto", "==", "ne", "!=", "lt",
        "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=",
    ];

    /// <summary>Whether a template may use it.</summary>
    public static bool IsKnown(string name) => Known.Contains(name);

    /// <summary>Applies a test.</summary>
    public static bool Apply(string name, JinjaValue value, JinjaArguments arguments, JinjaFuel fuel)
    {
        JinjaValue Other() => arguments.Find(0, "other") ?? throw JinjaOperators.Error($"test '{name}' needs an argument");
        switch (name)
        {
            case "defined":
                return value is not JinjaUndefined;
            case "undefined":
                return value is JinjaUndefined;
            case "none":
                return value is JinjaNone;
            case "string":
                return value is JinjaText;
            case "number":
                return JinjaOperators.Number(value) is not null;
            case "integer":
                return value is JinjaInt;
            case "float":
                return value is JinjaFloat;
            case "boolean":
                return value is JinjaBool;
            case "true":
                return value is JinjaBool { Value: true };
            case "false":
                return value is JinjaBool { Value: false };
            case "mapping":
                return value is JinjaMap;
            case "iterable":
                return value is JinjaText or JinjaList or JinjaMap or JinjaUndefined or JinjaLoop;
            case "sequence":
                return value is JinjaText or JinjaList or JinjaMap or JinjaUndefined;
            case "callable":
                return value is JinjaFunction;
            case "even":
                return Remainder(value, 2) == 0;
            case "odd":
                return Remainder(value, 2) != 0;
            case "divisibleby":
                return Remainder(value, JinjaOperators.Integer(Other()) ?? 0) == 0;
            case "sameas":
                return ReferenceEquals(value, Other()) || (value is not (JinjaList or JinjaMap) && JinjaOperators.AreEqual(value, Other(), fuel));
            case "lower":
                return Letters(value, char.IsLower);
            case "upper":
                return Letters(value, char.IsUpper);
            case "in":
                return JinjaOperators.Contains(Other(), value, fuel);
            case "filter":
                return value is JinjaText filter && JinjaFilters.IsKnown(filter.Value);
            case "test":
                return value is JinjaText test && IsKnown(test.Value);
            case "eq" or "equalto" or "==":
                return JinjaOperators.AreEqual(value, Other(), fuel);
            case "ne" or "!=":
                return !JinjaOperators.AreEqual(value, Other(), fuel);
            case "lt" or "lessthan" or "<":
                return JinjaOperators.Compare(value, Other(), "<", fuel) < 0;
            case "le" or "<=":
                return JinjaOperators.Compare(value, Other(), "<=", fuel) <= 0;
            case "gt" or "greaterthan" or ">":
                return JinjaOperators.Compare(value, Other(), ">", fuel) > 0;
            case "ge" or ">=":
                return JinjaOperators.Compare(value, Other(), ">=", fuel) >= 0;
            default:
                throw JinjaOperators.Error($"No test named '{name}'.");
        }
    }

    private static long Remainder(JinjaValue value, long divisor) =>
        JinjaOperators.Integer(value) is long number && divisor > 0
            ? number % divisor
            : throw JinjaOperators.Error($"needed an integer and a positive divisor, found '{value.TypeName}' and {divisor}");

    private static bool Letters(JinjaValue value, Func<char, bool> test) =>
        value is JinjaText text && text.Value.Any(char.IsLetter) && text.Value.Where(char.IsLetter).All(test);
}
