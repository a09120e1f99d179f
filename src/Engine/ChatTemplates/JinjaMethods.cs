namespace NativeLM.Engine.ChatTemplates;

/// <summary>The methods of texts, lists and dictionaries. Only names listed here exist: there is no other way to a member.</summary>
internal static class JinjaMethods
{
    /// <summary>A method of a value, bound to it, or null.</summary>
    public static JinjaFunction? Find(JinjaEvaluator evaluator, JinjaValue value, string name)
    {
        Func<JinjaArguments, JinjaValue>? body = value switch
        {
            JinjaText text => OfText(evaluator, text, name),
            JinjaList list => OfList(evaluator, list, name),
            JinjaMap map => OfMap(map, name),
            _ => null,
        };
        return body is null ? null : new JinjaFunction(name, body);
    }

    private static Func<JinjaArguments, JinjaValue>? OfText(JinjaEvaluator evaluator, JinjaText text, string name)
    {
        JinjaFuel fuel = evaluator.Fuel;
        return name switch
        {
            "strip" => arguments => JinjaStrings.Strip(text, OptionalText(arguments, 0, "chars"), true, true),
            "lstrip" => arguments => JinjaStrings.Strip(text, OptionalText(arguments, 0, "chars"), true, false),
            "rstrip" => arguments => JinjaStrings.Strip(text, OptionalText(arguments, 0, "chars"), false, true),
            "split" => arguments => JinjaStrings.Split(text, OptionalText(arguments, 0, "sep"), Integer(arguments, 1, "maxsplit", -1), false, fuel),
            "rsplit" => arguments => JinjaStrings.Split(text, OptionalText(arguments, 0, "sep"), Integer(arguments, 1, "maxsplit", -1), true, fuel),
            "splitlines" => arguments => JinjaStrings.SplitLines(text, arguments.Find(0, "keepends") is JinjaValue keep && JinjaOperators.IsTrue(keep)),
            "partition" => arguments => Partition(text, Text(arguments, 0, "sep"), last: false),
            "rpartition" => arguments => Partition(text, Text(arguments, 0, "sep"), last: true),
            "startswith" => arguments => JinjaBool.Of(AnyText(arguments, part => text.Value.StartsWith(part, StringComparison.Ordinal))),
            "endswith" => arguments => JinjaBool.Of(AnyText(arguments, part => text.Value.EndsWith(part, StringComparison.Ordinal))),
            "removeprefix" => arguments => Text(arguments, 0, "prefix") is { Length: > 0 } prefix && text.Value.StartsWith(prefix, StringComparison.Ordinal)
                ? text.Slice(prefix.Length, text.Length - prefix.Length) : text,
            "removesuffix" => arguments => Text(arguments, 0, "suffix") is { Length: > 0 } suffix && text.Value.EndsWith(suffix, StringComparison.Ordinal)
                ? text.Slice(0, text.Length - suffix.Length) : text,
            "replace" => arguments => JinjaStrings.Replace(text, TextValue(arguments, 0, "old"), TextValue(arguments, 1, "new"), Integer(arguments, 2, "count", -1), fuel),
            "upper" => _ => text.WithValue(text.Value.ToUpperInvariant()),
            "lower" => _ => text.WithValue(text.Value.ToLowerInvariant()),
            "capitalize" => _ => JinjaStrings.Capitalize(text),
            "title" => _ => JinjaStrings.Title(text, c => !char.IsLetter(c)),
            "find" => arguments => Position(text, text.Value.IndexOf(Text(arguments, 0, "sub"), StringComparison.Ordinal)),
            "rfind" => arguments => Position(text, text.Value.LastIndexOf(Text(arguments, 0, "sub"), StringComparison.Ordinal)),
            "index" => arguments => Position(text, text.Value.IndexOf(Text(arguments, 0, "sub"), StringComparison.Ordinal)) is { Value: >= 0 } found
                ? found : throw JinjaOperators.Error("substring not found"),
            "count" => arguments => Text(arguments, 0, "sub") is { Length: > 0 } part
                ? new JinjaInt(text.Value.AsSpan().Count(part)) : new JinjaInt(JinjaStrings.Length(text) + 1),
            "join" => arguments => evaluator.Join(text, evaluator.Items(Required(arguments, 0, "iterable"))),
            "format" => arguments => JinjaStrings.FormatBraces(text, arguments, fuel),
            "isdigit" or "isdecimal" or "isnumeric" => _ => All(text, char.IsDigit),
            "isalpha" => _ => All(text, char.IsLetter),
            "isalnum" => _ => All(text, char.IsLetterOrDigit),
            "isspace" => _ => All(text, JinjaStrings.IsSpace),
            "isupper" => _ => JinjaBool.Of(JinjaTests.Apply("upper", text, new JinjaArguments(), fuel)),
            "islower" => _ => JinjaBool.Of(JinjaTests.Apply("lower", text, new JinjaArguments(), fuel)),
            "zfill" => arguments => Pad(text, Integer(arguments, 0, "width", 0), "0", left: true, fuel),
            "ljust" => arguments => Pad(text, Integer(arguments, 0, "width", 0), OptionalText(arguments, 1, "fillchar") ?? " ", left: false, fuel),
            "rjust" => arguments => Pad(text, Integer(arguments, 0, "width", 0), OptionalText(arguments, 1, "fillchar") ?? " ", left: true, fuel),
            _ => null,
        };
    }

    private static Func<JinjaArguments, JinjaValue>? OfList(JinjaEvaluator evaluator, JinjaList list, string name) => (name, list.IsTuple) switch
    {
        ("append", false) => arguments => Changed(list, () => list.Items.Add(Required(arguments, 0, "object")), evaluator),
        ("extend", false) => arguments => Changed(list, () => list.Items.AddRange([.. evaluator.Items(Required(arguments, 0, "iterable"))]), evaluator),
        ("insert", false) => arguments => Changed(
            list, () => list.Items.Insert((int)Math.Clamp(Integer(arguments, 0, "index", 0), 0, list.Items.Count), Required(arguments, 1, "object")), evaluator),
        ("pop", false) => arguments => PopItem(list, Integer(arguments, 0, "index", -1)),
        ("index", _) => arguments => list.Items.FindIndex(item => JinjaOperators.AreEqual(item, Required(arguments, 0, "value"), evaluator.Fuel)) is int at and >= 0
            ? new JinjaInt(at) : throw JinjaOperators.Error("the value is not in the list"),
        ("count", _) => arguments => new JinjaInt(list.Items.Count(item => JinjaOperators.AreEqual(item, Required(arguments, 0, "value"), evaluator.Fuel))),
        _ => null,
    };

    private static Func<JinjaArguments, JinjaValue>? OfMap(JinjaMap map, string name) => name switch
    {
        "items" => _ => new JinjaList(map.Entries.Select(entry => (JinjaValue)new JinjaList([entry.Key, entry.Value], isTuple: true))),
        "keys" => _ => new JinjaList(map.Entries.Keys),
        "values" => _ => new JinjaList(map.Entries.Values),
        "get" => arguments => map.Entries.TryGetValue(Required(arguments, 0, "key"), out JinjaValue? value) ? value : arguments.Find(1, "default") ?? JinjaNone.Value,
        "pop" => arguments => map.Entries.Remove(Required(arguments, 0, "key"), out JinjaValue? value) ? value
            : arguments.Find(1, "default") ?? throw JinjaOperators.Error("the key to pop is not in the dict"),
        "update" => arguments => Update(map, arguments),
        "copy" => _ => Copy(map),
        _ => null,
    };

    private static JinjaNone Changed(JinjaList list, Action change, JinjaEvaluator evaluator)
    {
        change();
        evaluator.Fuel.Spend(1 + list.Items.Count / 64);
        return JinjaNone.Value;
    }

    private static JinjaValue PopItem(JinjaList list, long index)
    {
        long at = index < 0 ? index + list.Items.Count : index;
        if (at < 0 || at >= list.Items.Count)
            throw JinjaOperators.Error("pop index out of range");
        JinjaValue item = list.Items[(int)at];
        list.Items.RemoveAt((int)at);
        return item;
    }

    private static JinjaNone Update(JinjaMap map, JinjaArguments arguments)
    {
        if (arguments.Find(0, "") is JinjaMap other)
            foreach ((JinjaValue key, JinjaValue value) in other.Entries.ToList())
                map.Entries[key] = value;
        foreach ((string name, JinjaValue value) in arguments.Named)
            map.Entries[JinjaText.FromTemplate(name)] = value;
        return JinjaNone.Value;
    }

    private static JinjaMap Copy(JinjaMap map)
    {
        var copy = new JinjaMap();
        foreach ((JinjaValue key, JinjaValue value) in map.Entries)
            copy.Entries[key] = value;
        return copy;
    }

    private static JinjaList Partition(JinjaText text, string separator, bool last)
    {
        if (separator.Length == 0)
            throw JinjaOperators.Error("empty separator");
        int at = last ? text.Value.LastIndexOf(separator, StringComparison.Ordinal) : text.Value.IndexOf(separator, StringComparison.Ordinal);
        JinjaValue[] parts = at >= 0
            ? [text.Slice(0, at), text.Slice(at, separator.Length), text.Slice(at + separator.Length, text.Length - at - separator.Length)]
            : last ? [JinjaText.Empty, JinjaText.Empty, text] : [text, JinjaText.Empty, JinjaText.Empty];
        return new JinjaList(parts, isTuple: true);
    }

    private static JinjaText Pad(JinjaText text, long width, string fill, bool left, JinjaFuel fuel)
    {
        long missing = width - JinjaStrings.Length(text);
        if (missing <= 0 || fill.Length != 1)
            return text;
        fuel.SpendText(text.Length + missing);
        JinjaText padding = JinjaText.FromTemplate(new string(fill[0], (int)missing));
        return left ? padding.Concat(text) : text.Concat(padding);
    }

    // Positions that templates see count code points.
    private static JinjaInt Position(JinjaText text, int at) => new(at <= 0 ? at : JinjaStrings.Length(text.Slice(0, at)));

    private static JinjaBool All(JinjaText text, Func<char, bool> test) => JinjaBool.Of(text.Length > 0 && text.Value.All(test));

    private static bool AnyText(JinjaArguments arguments, Func<string, bool> test) => Required(arguments, 0, "prefix") switch
    {
        JinjaText text => test(text.Value),
        JinjaList { IsTuple: true } texts => texts.Items.OfType<JinjaText>().Any(text => test(text.Value)),
        var other => throw JinjaOperators.Error($"needed a string or a tuple of strings, found '{other.TypeName}'"),
    };

    private static JinjaValue Required(JinjaArguments arguments, int place, string name) =>
        arguments.Find(place, name) ?? throw JinjaOperators.Error($"argument '{name}' is missing");

    private static JinjaText TextValue(JinjaArguments arguments, int place, string name) => Required(arguments, place, name) as JinjaText
        ?? throw JinjaOperators.Error($"argument '{name}': needed a string, found '{arguments.Find(place, name)!.TypeName}'");

    private static string Text(JinjaArguments arguments, int place, string name) => TextValue(arguments, place, name).Value;

    private static string? OptionalText(JinjaArguments arguments, int place, string name) =>
        arguments.Find(place, name) is null or JinjaNone ? null : Text(arguments, place, name);

    private static long Integer(JinjaArguments arguments, int place, string name, long fallback) =>
        arguments.Find(place, name) is not JinjaValue value ? fallback
        : JinjaOperators.Integer(value) ?? throw JinjaOperators.Error($"argument '{name}': needed an integer, found '{value.TypeName}'");
}
