using System.Text.Json;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>A value of the template language: what JSON has, and a few of the language's own. No .NET object is ever reachable from one.</summary>
internal abstract class JinjaValue
{
    /// <summary>Name of the type as Python calls it, for messages.</summary>
    public abstract string TypeName { get; }

    /// <summary>A value from request JSON: every text in it is content.</summary>
    public static JinjaValue FromJson(JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.String:
                return JinjaText.FromContent(json.GetString()!);
            case JsonValueKind.Number:
                return json.TryGetInt64(out long integer) ? new JinjaInt(integer) : new JinjaFloat(json.GetDouble());
            case JsonValueKind.True or JsonValueKind.False:
                return JinjaBool.Of(json.GetBoolean());
            case JsonValueKind.Array:
                var list = new JinjaList(json.GetArrayLength());
                foreach (JsonElement item in json.EnumerateArray())
                    list.Items.Add(FromJson(item));
                return list;
            case JsonValueKind.Object:
                var map = new JinjaMap();
                foreach (JsonProperty property in json.EnumerateObject())
                    map.Entries[JinjaText.FromContent(property.Name)] = FromJson(property.Value);
                return map;
            default:
                return JinjaNone.Value;
        }
    }
}

/// <summary>A name or member that does not exist.</summary>
internal sealed class JinjaUndefined(string hint) : JinjaValue
{
    /// <summary>What to say when it is used.</summary>
    public string Hint { get; } = hint;

    public override string TypeName => "Undefined";
}

/// <summary>None.</summary>
internal sealed class JinjaNone : JinjaValue
{
    private JinjaNone() { }

    public static JinjaNone Value { get; } = new();

    public override string TypeName => "NoneType";
}

/// <summary>True or False.</summary>
internal sealed class JinjaBool : JinjaValue
{
    private static readonly JinjaBool True = new(true);
    private static readonly JinjaBool False = new(false);

    private JinjaBool(bool value) => Value = value;

    public bool Value { get; }

    public override string TypeName => "bool";

    public static JinjaBool Of(bool value) => value ? True : False;
}

/// <summary>A 64-bit integer.</summary>
internal sealed class JinjaInt(long value) : JinjaValue
{
    public long Value { get; } = value;

    public override string TypeName => "int";
}

/// <summary>A double.</summary>
internal sealed class JinjaFloat(double value) : JinjaValue
{
    public double Value { get; } = value;

    public override string TypeName => "float";
}

/// <summary>A list or tuple.</summary>
internal sealed class JinjaList : JinjaValue
{
    public JinjaList(int capacity = 0) => Items = new List<JinjaValue>(capacity);

    public JinjaList(IEnumerable<JinjaValue> items, bool isTuple = false)
    {
        Items = [.. items];
        IsTuple = isTuple;
    }

    public List<JinjaValue> Items { get; }

    public bool IsTuple { get; }

    public override string TypeName => IsTuple ? "tuple" : "list";
}

/// <summary>A dictionary in order of insertion.</summary>
internal sealed class JinjaMap : JinjaValue
{
    public OrderedDictionary<JinjaValue, JinjaValue> Entries { get; } = new(JinjaKeyComparer.Instance);

    public override string TypeName => "dict";

    /// <summary>The value of a text key, or null.</summary>
    public JinjaValue? Find(string key) => Entries.TryGetValue(JinjaText.FromTemplate(key), out JinjaValue? value) ? value : null;
}

/// <summary>namespace(...): the one thing whose members a template sets.</summary>
internal sealed class JinjaNamespace : JinjaValue
{
    public Dictionary<string, JinjaValue> Members { get; } = new(StringComparer.Ordinal);

    public override string TypeName => "namespace";
}

/// <summary>Something callable.</summary>
internal sealed class JinjaFunction(string name, Func<JinjaArguments, JinjaValue> body) : JinjaValue
{
    public string Name { get; } = name;

    public Func<JinjaArguments, JinjaValue> Body { get; } = body;

    public override string TypeName => "function";
}

/// <summary>The loop variable.</summary>
internal sealed class JinjaLoop(IReadOnlyList<JinjaValue> items, int depth) : JinjaValue
{
    public IReadOnlyList<JinjaValue> Items { get; } = items;

    /// <summary>Loops around this one.</summary>
    public int Depth { get; } = depth;

    /// <summary>Turn, from 0.</summary>
    public int Index { get; set; }

    /// <summary>What changed() was last called with.</summary>
    public JinjaValue? LastChanged { get; set; }

    public override string TypeName => "LoopContext";
}

/// <summary>Arguments of one call.</summary>
internal sealed class JinjaArguments
{
    public List<JinjaValue> Positional { get; } = [];

    public Dictionary<string, JinjaValue> Named { get; } = new(StringComparer.Ordinal);

    /// <summary>Argument by place or name, or null.</summary>
    public JinjaValue? Find(int place, string name) =>
        place < Positional.Count ? Positional[place] : Named.GetValueOrDefault(name);
}

/// <summary>Equality of dictionary keys: by value, whatever the origin of a text; 1, 1.0 and True are one key, as in Python.</summary>
internal sealed class JinjaKeyComparer : IEqualityComparer<JinjaValue>
{
    public static JinjaKeyComparer Instance { get; } = new();

    public bool Equals(JinjaValue? x, JinjaValue? y) => (x, y) switch
    {
        (JinjaText a, JinjaText b) => a.Value == b.Value,
        (JinjaNone, JinjaNone) => true,
        _ => x is not null && y is not null && JinjaOperators.Number(x) is double a && JinjaOperators.Number(y) is double b && a == b,
    };

    public int GetHashCode(JinjaValue key) => key switch
    {
        JinjaText text => text.Value.GetHashCode(StringComparison.Ordinal),
        JinjaNone => 0,
        _ => JinjaOperators.Number(key) is double number
            ? number.GetHashCode()
            : throw JinjaOperators.Error($"unhashable type: '{key.TypeName}'"),
    };
}
