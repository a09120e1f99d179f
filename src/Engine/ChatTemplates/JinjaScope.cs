namespace NativeLM.Engine.ChatTemplates;

/// <summary>Names and their values; what is not here is sought in the scope around.</summary>
internal sealed class JinjaScope(JinjaScope? parent)
{
    private readonly Dictionary<string, JinjaValue> _values = new(StringComparer.Ordinal);

    /// <summary>Loops around.</summary>
    public int LoopDepth { get; init; } = parent?.LoopDepth ?? 0;

    public void Set(string name, JinjaValue value) => _values[name] = value;

    /// <summary>The value of a name, or null.</summary>
    public JinjaValue? Find(string name)
    {
        for (JinjaScope? scope = this; scope is not null; scope = scope.Parent)
            if (scope._values.TryGetValue(name, out JinjaValue? value))
                return value;
        return null;
    }

    private JinjaScope? Parent { get; } = parent;
}
