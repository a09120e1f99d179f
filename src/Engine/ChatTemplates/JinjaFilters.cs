using System.Globalization;
using System.Text.Json;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>The filters.</summary>
internal static class JinjaFilters
{
    private static readonly Dictionary<string, Func<JinjaEvaluator, JinjaValue, JinjaArguments, JinjaValue>> Table = new(StringComparer.Ordinal)
    {
        ["abs"] = (_, value, _) => value switch
        {
            JinjaInt number => new JinjaInt(number.Value == long.MinValue ? throw JinjaOperators.Error("the number is too large") : Math.Abs(number.Value)),
            JinjaFloat number => new JinjaFloat(Math.Abs(number.Value)),
            JinjaBool flag => new JinjaInt(flag.Value ? 1 : 0),
            _ => throw JinjaOperators.Error($"bad operand type for abs(): '{value.TypeName}'"),
        },
        ["attr"] = (evaluator, value, arguments) => evaluator.Member(value, Text(arguments, 0, "name")),
        ["capitalize"] = (evaluator, value, _) => JinjaStrings.Capitalize(evaluator.Print(value)),
        ["count"] = (evaluator, value, _) => Length(evaluator, value),
        ["d"] = Default,
        ["default"] = Default,
        ["dictsort"] = DictSort,
        ["e"] = (evaluator, value, _) => JinjaStrings.Escape(evaluator.Print(value), evaluator.Fuel),
        ["escape"] = (evaluator, value, _) => JinjaStrings.Escape(evaluator.Print(value), evaluator.Fuel),
        ["first"] = (evaluator, value, _) => evaluator.Items(value) is [JinjaValue item, ..] ? item : new JinjaUndefined("No first item, sequence was empty."),
        ["float"] = Float,
        ["format"] = (evaluator, value, arguments) => JinjaStrings.FormatPercent(evaluator.Print(value), arguments.Positional, evaluator.Fuel),
        ["from_json"] = FromJson,
        ["fromjson"] = FromJson,
        ["groupby"] = GroupBy,
        ["indent"] = Indent,
        ["int"] = Int,
        ["items"] = Items,
        ["join"] = Join,
        ["last"] = (evaluator, value, _) => evaluator.Items(value) is [.., JinjaValue item] ? item : new JinjaUndefined("No last item, sequence was empty."),
        ["length"] = (evaluator, value, _) => Length(evaluator, value),
        ["list"] = (evaluator, value, _) => new JinjaList(evaluator.Items(value)),
        ["lower"] = (evaluator, value, _) => Mapped(evaluator.Print(value), text => text.ToLowerInvariant()),
        ["map"] = Map,
        ["max"] = (evaluator, value, arguments) => Extreme(evaluator, value, arguments, largest: true),
        ["min"] = (evaluator, value, arguments) => Extreme(evaluator, value, arguments, largest: false),
        ["reject"] = (evaluator, value, arguments) => Select(evaluator, value, arguments, byAttribute: false, keep: false),
        ["rejectattr"] = (evaluator, value, arguments) => Select(evaluator, value, arguments, byAttribute: true, keep: false),
        ["replace"] = (evaluator, value, arguments) => JinjaStrings.Replace(evaluator.Print(value), TextValue(arguments, 0, "old"), TextValue(arguments, 1, "new"),
            JinjaOperators.Integer(arguments.Find(2, "count")) ?? -1, evaluator.Fuel),
        ["reverse"] = Reverse,
        ["round"] = Round,
        ["safe"] = (evaluator, value, _) => evaluator.Print(value).WithMarkup(true),
        ["select"] = (evaluator, value, arguments) => Select(evaluator, value, arguments, byAttribute: false, keep: true),
        ["selectattr"] = (evaluator, value, arguments) => Select(evaluator, value, arguments, byAttribute: true, keep: true),
        ["sort"] = (evaluator, value, arguments) => Sort(evaluator, value, arguments),
        ["string"] = (evaluator, value, _) => evaluator.Print(value),
        ["sum"] = Sum,
        ["title"] = (evaluator, value, _) => JinjaStrings.Title(evaluator.Print(value), c => char.IsWhiteSpace(c) || c is '-' or '(' or '{' or '[' or '<'),
        ["tojson"] = (evaluator, value, arguments) => JinjaJson.Write(value, arguments, evaluator.Fuel),
        ["trim"] = (evaluator, value, arguments) => JinjaStrings.Strip(evaluator.Print(value), OptionalText(arguments, 0, "chars"), true, true),
        ["unique"] = Unique,
        ["upper"] = (evaluator, value, _) => Mapped(evaluator.Print(value), text => text.ToUpperInvariant()),
        ["wordcount"] = (evaluator, value, _) => new JinjaInt(JinjaStrings.Split(evaluator.Print(value), null, -1, false, evaluator.Fuel).Items.Count),
    };

    /// <summary>Whether a template may use it.</summary>
    public static bool IsKnown(string name) => Table.ContainsKey(name);

    /// <summary>Applies a filter.</summary>
    public static JinjaValue Apply(JinjaEvaluator evaluator, string name, JinjaValue value, JinjaArguments arguments) =>
        Table.TryGetValue(name, out Func<JinjaEvaluator, JinjaValue, JinjaArguments, JinjaValue>? filter)
            ? filter(evaluator, value, arguments)
            : throw JinjaOperators.Error($"No filter named '{name}'.");

    private static JinjaText Mapped(JinjaText text, Func<string, string> map) => text.WithValue(map(text.Value));

    private static JinjaText TextValue(JinjaArguments arguments, int place, string name) => arguments.Find(place, name) as JinjaText
        ?? throw JinjaOperators.Error($"argument '{name}': needed a string");

    private static string Text(JinjaArguments arguments, int place, string name) => TextValue(arguments, place, name).Value;

    private static string? OptionalText(JinjaArguments arguments, int place, string name) => (arguments.Find(place, name) as JinjaText)?.Value;

    private static bool IsSet(JinjaArguments arguments, int place, string name) =>
        arguments.Find(place, name) is JinjaValue value && JinjaOperators.IsTrue(value);

    private static JinjaInt Length(JinjaEvaluator evaluator, JinjaValue value) => new(value switch
    {
        JinjaText text => JinjaStrings.Length(text),
        JinjaMap map => map.Entries.Count,
        _ => evaluator.Items(value).Count,
    });

    private static JinjaValue Default(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        bool replaces = value is JinjaUndefined || (IsSet(arguments, 1, "boolean") && !JinjaOperators.IsTrue(value));
        return replaces ? arguments.Find(0, "default_value") ?? JinjaText.Empty : value;
    }

    private static JinjaList DictSort(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        if (value is not JinjaMap map)
            throw JinjaOperators.Error($"dictsort needs a dict, found '{value.TypeName}'");
        int by = OptionalText(arguments, 1, "by") == "value" ? 1 : 0;
        var pairs = map.Entries.Select(entry => (JinjaValue)new JinjaList([entry.Key, entry.Value], isTuple: true)).ToList();
        return Sorted(evaluator, pairs, pair => ((JinjaList)pair).Items[by], IsSet(arguments, 0, "case_sensitive"), IsSet(arguments, 2, "reverse"));
    }

    private static JinjaList Sort(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        string? attribute = AttributePath(arguments, 2);
        return Sorted(evaluator, evaluator.Items(value), item => attribute is null ? item : evaluator.MemberByPath(item, attribute),
            IsSet(arguments, 1, "case_sensitive"), IsSet(arguments, 0, "reverse"));
    }

    // Equal items stay in place, also when reversed; values without an order are fine as long as they are equal.
    private static JinjaList Sorted(
        JinjaEvaluator evaluator, IReadOnlyList<JinjaValue> items, Func<JinjaValue, JinjaValue> key, bool caseSensitive, bool reverse)
    {
        var keys = items.Select(item => (Key: Folded(key(item), caseSensitive), Item: item)).ToList();
        var comparer = Comparer<JinjaValue>.Create((x, y) =>
            JinjaOperators.AreEqual(x, y, evaluator.Fuel) ? 0 : JinjaOperators.Compare(x, y, "<", evaluator.Fuel) * (reverse ? -1 : 1));
        try
        {
            return new JinjaList(keys.OrderBy(pair => pair.Key, comparer).Select(pair => pair.Item).ToList());
        }
        catch (InvalidOperationException error) when (error.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }

    private static JinjaValue Folded(JinjaValue key, bool caseSensitive) =>
        !caseSensitive && key is JinjaText text ? Mapped(text, value => value.ToLowerInvariant()) : key;

    private static string? AttributePath(JinjaArguments arguments, int place) => arguments.Find(place, "attribute") switch
    {
        JinjaText text => text.Value,
        JinjaInt index => index.Value.ToString(CultureInfo.InvariantCulture),
        _ => null,
    };

    private static JinjaFloat ToFloat(double value) => new(value);

    private static JinjaValue Float(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments) =>
        JinjaOperators.Number(value) is double number ? ToFloat(number)
        : value is JinjaText text && double.TryParse(text.Value.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double parsed) ? ToFloat(parsed)
        : arguments.Find(0, "default") ?? ToFloat(0);

    private static JinjaValue Int(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        if (JinjaOperators.Integer(value) is long integer)
            return new JinjaInt(integer);
        double? number = JinjaOperators.Number(value);
        if (value is JinjaText text)
        {
            string digits = text.Value.Trim().Replace("_", "", StringComparison.Ordinal);
            if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long parsed))
                return new JinjaInt(parsed);
            if (double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out double fraction))
                number = fraction;
        }
        return number is double finite && Math.Abs(finite) < 9.2e18 ? new JinjaInt((long)finite) : arguments.Find(0, "default") ?? new JinjaInt(0);
    }

    private static JinjaValue FromJson(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        JinjaText text = evaluator.Print(value);
        evaluator.Fuel.Spend(1 + text.Length);
        try
        {
            using JsonDocument document = JsonDocument.Parse(text.Value, new JsonDocumentOptions { MaxDepth = 32 });
            return JinjaValue.FromJson(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            throw JinjaOperators.Error($"from_json: the text is not valid JSON: {error.Message}");
        }
    }

    private static JinjaList GroupBy(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        string attribute = AttributePath(arguments, 0) ?? throw JinjaOperators.Error("groupby needs an attribute");
        JinjaList sorted = Sorted(evaluator, evaluator.Items(value), item => evaluator.MemberByPath(item, attribute), false, false);
        var groups = new JinjaList();
        foreach (JinjaValue item in sorted.Items)
        {
            JinjaValue key = evaluator.MemberByPath(item, attribute);
            if (groups.Items is not [.., JinjaList last] || !JinjaOperators.AreEqual(last.Items[0], key, evaluator.Fuel))
                groups.Items.Add(last = new JinjaList([key, new JinjaList()], isTuple: true));
            ((JinjaList)last.Items[1]).Items.Add(item);
        }
        return groups;
    }

    private static JinjaText Indent(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        JinjaValue? width = arguments.Find(0, "width");
        JinjaText indentation = width is JinjaText text ? text
            : JinjaText.FromTemplate(new string(' ', (int)Math.Clamp(JinjaOperators.Integer(width) ?? 4, 0, 1024)));
        return JinjaStrings.Indent(evaluator.Print(value), indentation, IsSet(arguments, 1, "first"), IsSet(arguments, 2, "blank"), evaluator.Fuel);
    }

    private static JinjaList Items(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments) => value switch
    {
        JinjaUndefined => new JinjaList(),
        JinjaMap map => new JinjaList(map.Entries.Select(entry => (JinjaValue)new JinjaList([entry.Key, entry.Value], isTuple: true))),
        _ => throw JinjaOperators.Error("Can only get item pairs from a mapping."),
    };

    private static JinjaText Join(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        JinjaText separator = arguments.Find(0, "d") is JinjaValue given ? evaluator.Print(given) : JinjaText.Empty;
        string? attribute = AttributePath(arguments, 1);
        return evaluator.Join(separator, evaluator.Items(value).Select(item => attribute is null ? item : evaluator.MemberByPath(item, attribute)));
    }

    private static JinjaList Map(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        IReadOnlyList<JinjaValue> items = ItemsIfAny(evaluator, value);
        if (arguments.Positional.Count == 0)
        {
            string attribute = AttributePath(arguments, int.MaxValue) ?? throw JinjaOperators.Error("map needs an attribute or a filter");
            JinjaValue? fallback = arguments.Named.GetValueOrDefault("default");
            return new JinjaList(items.Select(item => evaluator.MemberByPath(item, attribute) is var member && member is JinjaUndefined ? fallback ?? member : member));
        }
        string filter = Text(arguments, 0, "filter");
        JinjaArguments rest = Rest(arguments, 1);
        return new JinjaList(items.Select(item => Apply(evaluator, filter, item, rest)));
    }

    private static JinjaList Select(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments, bool byAttribute, bool keep)
    {
        int testPlace = byAttribute ? 1 : 0;
        string? attribute = byAttribute ? AttributePath(arguments, 0) ?? throw JinjaOperators.Error("needed an attribute name") : null;
        string? test = arguments.Positional.Count > testPlace ? Text(arguments, testPlace, "test") : null;
        JinjaArguments rest = Rest(arguments, testPlace + 1);
        bool Holds(JinjaValue item)
        {
            evaluator.Fuel.Spend();
            JinjaValue subject = attribute is null ? item : evaluator.MemberByPath(item, attribute);
            return test is null ? JinjaOperators.IsTrue(subject) : JinjaTests.Apply(test, subject, rest, evaluator.Fuel);
        }
        return new JinjaList(ItemsIfAny(evaluator, value).Where(item => Holds(item) == keep));
    }

    // map, select and reject take anything false, None included, as empty.
    private static IReadOnlyList<JinjaValue> ItemsIfAny(JinjaEvaluator evaluator, JinjaValue value) =>
        JinjaOperators.IsTrue(value) ? evaluator.Items(value) : [];

    private static JinjaArguments Rest(JinjaArguments arguments, int from)
    {
        var rest = new JinjaArguments();
        rest.Positional.AddRange(arguments.Positional.Skip(from));
        foreach ((string name, JinjaValue value) in arguments.Named)
            rest.Named[name] = value;
        return rest;
    }

    private static JinjaValue Extreme(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments, bool largest)
    {
        string? attribute = AttributePath(arguments, 1);
        bool caseSensitive = IsSet(arguments, 0, "case_sensitive");
        JinjaValue Key(JinjaValue item) => Folded(attribute is null ? item : evaluator.MemberByPath(item, attribute), caseSensitive);
        JinjaValue? best = null;
        foreach (JinjaValue item in evaluator.Items(value))
            if (best is null || JinjaOperators.Compare(Key(item), Key(best), "<", evaluator.Fuel) * (largest ? -1 : 1) < 0)
                best = item;
        return best ?? new JinjaUndefined("No aggregated item, sequence was empty.");
    }

    private static JinjaValue Reverse(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        List<JinjaValue> items = [.. evaluator.Items(value)];
        items.Reverse();
        return value is JinjaText ? evaluator.Join(JinjaText.Empty, items) : new JinjaList(items);
    }

    private static JinjaFloat Round(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        double number = JinjaOperators.Number(value) ?? throw JinjaOperators.Error($"round needs a number, found '{value.TypeName}'");
        int digits = (int)Math.Clamp(JinjaOperators.Integer(arguments.Find(0, "precision")) ?? 0, 0, 15);
        double scale = Math.Pow(10, digits);
        return ToFloat(OptionalText(arguments, 1, "method") switch
        {
            "ceil" => Math.Ceiling(number * scale) / scale,
            "floor" => Math.Floor(number * scale) / scale,
            _ => Math.Round(number, digits, MidpointRounding.ToEven),
        });
    }

    private static JinjaValue Sum(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        string? attribute = AttributePath(arguments, 0);
        JinjaValue total = arguments.Find(1, "start") ?? new JinjaInt(0);
        foreach (JinjaValue item in evaluator.Items(value))
            total = JinjaOperators.Arithmetic("+", total, attribute is null ? item : evaluator.MemberByPath(item, attribute), evaluator.Fuel);
        return total;
    }

    private static JinjaList Unique(JinjaEvaluator evaluator, JinjaValue value, JinjaArguments arguments)
    {
        string? attribute = AttributePath(arguments, 1);
        var seen = new HashSet<JinjaValue>(JinjaKeyComparer.Instance);
        return new JinjaList(evaluator.Items(value)
            .Where(item => seen.Add(Folded(attribute is null ? item : evaluator.MemberByPath(item, attribute), IsSet(arguments, 0, "case_sensitive")))));
    }
}
