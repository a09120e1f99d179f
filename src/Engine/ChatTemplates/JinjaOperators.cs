using System.Globalization;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>Truth, equality, order, arithmetic and printing of values, as Python has them.</summary>
internal static class JinjaOperators
{
    /// <summary>An error of the values at hand.</summary>
    public static ChatTemplateException Error(string message) => new(ChatTemplateErrorKind.Evaluation, message);

    public static bool IsTrue(JinjaValue value) => value switch
    {
        JinjaUndefined or JinjaNone => false,
        JinjaBool boolean => boolean.Value,
        JinjaInt integer => integer.Value != 0,
        JinjaFloat number => number.Value != 0,
        JinjaText text => text.Length > 0,
        JinjaList list => list.Items.Count > 0,
        JinjaMap map => map.Entries.Count > 0,
        _ => true,
    };

    /// <summary>The number a value is (True is 1), or null.</summary>
    public static double? Number(JinjaValue value) => value switch
    {
        JinjaBool boolean => boolean.Value ? 1 : 0,
        JinjaInt integer => integer.Value,
        JinjaFloat number => number.Value,
        _ => null,
    };

    /// <summary>The integer a value is (True is 1), or null.</summary>
    public static long? Integer(JinjaValue? value) => value switch
    {
        JinjaBool boolean => boolean.Value ? 1 : 0,
        JinjaInt integer => integer.Value,
        _ => null,
    };

    public static bool AreEqual(JinjaValue left, JinjaValue right, JinjaFuel fuel)
    {
        fuel.Enter();
        try
        {
            return (left, right) switch
            {
                (JinjaText a, JinjaText b) => a.Value == b.Value,
                (JinjaNone, JinjaNone) or (JinjaUndefined, JinjaUndefined) => true,
                (JinjaList a, JinjaList b) => a.IsTuple == b.IsTuple && a.Items.Count == b.Items.Count
                    && a.Items.Zip(b.Items).All(pair => AreEqual(pair.First, pair.Second, fuel)),
                (JinjaMap a, JinjaMap b) => a.Entries.Count == b.Entries.Count
                    && a.Entries.All(entry => b.Entries.TryGetValue(entry.Key, out JinjaValue? other) && AreEqual(entry.Value, other, fuel)),
                (JinjaInt a, JinjaInt b) => a.Value == b.Value,
                _ => Number(left) is double x && Number(right) is double y ? x == y : ReferenceEquals(left, right),
            };
        }
        finally
        {
            fuel.Leave();
        }
    }

    /// <summary>Order of two numbers, texts or lists; anything else has none.</summary>
    public static int Compare(JinjaValue left, JinjaValue right, string operation, JinjaFuel fuel)
    {
        fuel.Enter();
        try
        {
            if (left is JinjaInt a && right is JinjaInt b)
                return a.Value.CompareTo(b.Value);
            if (Number(left) is double x && Number(right) is double y)
                return x.CompareTo(y);
            if (left is JinjaText s && right is JinjaText t)
                return CompareCodePoints(s.Value, t.Value);
            if (left is JinjaList p && right is JinjaList q && p.IsTuple == q.IsTuple)
                return CompareItems(p, q, operation, fuel);
            throw Error($"'{operation}' not supported between instances of '{left.TypeName}' and '{right.TypeName}'");
        }
        finally
        {
            fuel.Leave();
        }
    }

    private static int CompareItems(JinjaList left, JinjaList right, string operation, JinjaFuel fuel)
    {
        for (int i = 0; i < Math.Min(left.Items.Count, right.Items.Count); i++)
            if (!AreEqual(left.Items[i], right.Items[i], fuel))
                return Compare(left.Items[i], right.Items[i], operation, fuel);
        return left.Items.Count.CompareTo(right.Items.Count);
    }

    // UTF-16 order differs from code point order only where surrogates meet the units above them.
    private static int CompareCodePoints(string left, string right)
    {
        int at = left.AsSpan().CommonPrefixLength(right);
        if (at == left.Length || at == right.Length)
            return left.Length.CompareTo(right.Length);
        char a = left[at], b = right[at];
        return char.IsSurrogate(a) != char.IsSurrogate(b) ? char.IsSurrogate(a).CompareTo(char.IsSurrogate(b)) : a.CompareTo(b);
    }

    public static bool Contains(JinjaValue container, JinjaValue item, JinjaFuel fuel)
    {
        switch (container)
        {
            case JinjaText text:
                if (item is not JinjaText part)
                    throw Error($"'in <string>' requires string as left operand, not {item.TypeName}");
                fuel.Spend(1 + text.Length / 8);
                return text.Value.Contains(part.Value, StringComparison.Ordinal);
            case JinjaMap map:
                return map.Entries.ContainsKey(item);
            case JinjaUndefined:
                return false;
            case JinjaList list:
                fuel.Spend(1 + list.Items.Count);
                foreach (JinjaValue other in list.Items)
                    if (AreEqual(other, item, fuel))
                        return true;
                return false;
            default:
                throw Error($"argument of type '{container.TypeName}' is not iterable");
        }
    }

    public static JinjaValue Arithmetic(string operation, JinjaValue left, JinjaValue right, JinjaFuel fuel)
    {
        switch (operation, left, right)
        {
            case ("+", JinjaText a, JinjaText b):
                return JinjaStrings.Add(a, b, fuel);
            case ("+", JinjaList a, JinjaList b) when a.IsTuple == b.IsTuple:
                fuel.Spend(a.Items.Count + b.Items.Count);
                return new JinjaList(a.Items.Concat(b.Items), a.IsTuple);
            case ("*", JinjaText text, _) when Integer(right) is long count:
                return JinjaStrings.Repeat(text, count, fuel);
            case ("*", _, JinjaText text) when Integer(left) is long count:
                return JinjaStrings.Repeat(text, count, fuel);
            case ("*", JinjaList list, _) when Integer(right) is long count:
                fuel.Spend(1 + Math.Max(0, count) * Math.Max(1, list.Items.Count));
                return new JinjaList(Enumerable.Repeat(list.Items, (int)Math.Max(0, count)).SelectMany(items => items), list.IsTuple);
            case ("%", JinjaText format, _):
                return JinjaStrings.FormatPercent(format, right is JinjaList { IsTuple: true } values ? values.Items : [right], fuel);
        }
        if (Integer(left) is long x && Integer(right) is long y)
            return Integers(operation, x, y);
        if (Number(left) is double u && Number(right) is double v)
            return Floats(operation, u, v);
        if (left is JinjaUndefined l)
            throw Error(l.Hint);
        if (right is JinjaUndefined r)
            throw Error(r.Hint);
        throw Error(operation == "+" && left is JinjaText
            ? $"can only concatenate str (not \"{right.TypeName}\") to str"
            : $"unsupported operand type(s) for {operation}: '{left.TypeName}' and '{right.TypeName}'");
    }

    private static JinjaValue Integers(string operation, long x, long y)
    {
        try
        {
            switch (operation)
            {
                case "+":
                    return new JinjaInt(checked(x + y));
                case "-":
                    return new JinjaInt(checked(x - y));
                case "*":
                    return new JinjaInt(checked(x * y));
                case "//" when y != 0:
                    return new JinjaInt(checked(x / y) - (x % y != 0 && x < 0 != y < 0 ? 1 : 0));
                case "%" when y == -1:
                    return new JinjaInt(0);
                case "%" when y != 0:
                    return new JinjaInt(x % y != 0 && x < 0 != y < 0 ? x % y + y : x % y);
                case "**" when y >= 0:
                    return new JinjaInt(Power(x, y));
                default:
                    return Floats(operation, x, y);
            }
        }
        catch (OverflowException)
        {
            throw Error($"the result of {x} {operation} {y} is too large");
        }
    }

    private static long Power(long x, long y)
    {
        if (x is 0 or 1 or -1)
            return y == 0 ? 1 : x == -1 && y % 2 == 0 ? 1 : x;
        long result = 1;
        for (; y > 0; y--) // at most 63 turns: overflow ends it
            result = checked(result * x);
        return result;
    }

    private static JinjaFloat Floats(string operation, double x, double y) => operation switch
    {
        "+" => new JinjaFloat(x + y),
        "-" => new JinjaFloat(x - y),
        "*" => new JinjaFloat(x * y),
        "/" or "//" or "%" when y == 0 => throw Error("division by zero"),
        "/" => new JinjaFloat(x / y),
        "//" => new JinjaFloat(Math.Floor(x / y)),
        "%" => new JinjaFloat(x - y * Math.Floor(x / y)),
        "**" => new JinjaFloat(Math.Pow(x, y)),
        _ => throw Error($"unsupported operand type(s) for {operation}: 'float' and 'float'"),
    };

    /// <summary>What printing a value gives.</summary>
    public static JinjaText Print(JinjaValue value, JinjaFuel fuel)
    {
        if (value is JinjaText text)
            return text;
        if (value is JinjaUndefined)
            return JinjaText.Empty;
        var builder = new JinjaTextBuilder();
        Represent(value, builder, fuel);
        return builder.ToText();
    }

    /// <summary>Python's repr.</summary>
    public static void Represent(JinjaValue value, JinjaTextBuilder builder, JinjaFuel fuel)
    {
        fuel.Enter();
        int before = builder.Length;
        switch (value)
        {
            case JinjaText text:
                JinjaStrings.Quote(text, builder);
                break;
            case JinjaList list:
                builder.Append(list.IsTuple ? "(" : "[");
                for (int i = 0; i < list.Items.Count; i++)
                {
                    if (i > 0)
                        builder.Append(", ");
                    Represent(list.Items[i], builder, fuel);
                }
                builder.Append(list.IsTuple ? list.Items.Count == 1 ? ",)" : ")" : "]");
                break;
            case JinjaMap map:
                builder.Append("{");
                bool first = true;
                foreach ((JinjaValue key, JinjaValue item) in map.Entries)
                {
                    builder.Append(first ? "" : ", ");
                    first = false;
                    Represent(key, builder, fuel);
                    builder.Append(": ");
                    Represent(item, builder, fuel);
                }
                builder.Append("}");
                break;
            default:
                builder.Append(Scalar(value));
                break;
        }
        fuel.SpendText(value is JinjaText ? builder.Length - before : 0, builder.Length);
        fuel.Leave();
    }

    private static string Scalar(JinjaValue value) => value switch
    {
        JinjaNone => "None",
        JinjaUndefined => "Undefined",
        JinjaBool boolean => boolean.Value ? "True" : "False",
        JinjaInt integer => integer.Value.ToString(CultureInfo.InvariantCulture),
        JinjaFloat number => FloatText(number.Value),
        _ => $"<{value.TypeName}>",
    };

    /// <summary>Python's shortest spelling of a double.</summary>
    public static string FloatText(double value)
    {
        if (double.IsNaN(value))
            return "nan";
        if (double.IsInfinity(value))
            return value > 0 ? "inf" : "-inf";
        double size = Math.Abs(value);
        if (size != 0 && (size < 1e-4 || size >= 1e16))
        {
            string text = value.ToString("E16", CultureInfo.InvariantCulture);
            for (int digits = 0; digits < 17; digits++)
            {
                text = value.ToString("E" + digits, CultureInfo.InvariantCulture);
                if (double.Parse(text, CultureInfo.InvariantCulture) == value)
                    break;
            }
            int e = text.IndexOf('E', StringComparison.Ordinal);
            int exponent = int.Parse(text.AsSpan(e + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
            return string.Create(CultureInfo.InvariantCulture, $"{text[..e]}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}");
        }
        string plain = value.ToString("R", CultureInfo.InvariantCulture);
        if (plain.Contains('E', StringComparison.Ordinal))
            plain = value.ToString("F0", CultureInfo.InvariantCulture);
        return plain.Contains('.', StringComparison.Ordinal) ? plain : plain + ".0";
    }
}
