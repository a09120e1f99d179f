namespace NativeLM.Engine.ChatTemplates;

/// <summary>The members of the loop variable.</summary>
internal static class JinjaLoopMembers
{
    /// <summary>A member by name, or null.</summary>
    public static JinjaValue? Find(JinjaLoop loop, string name, JinjaFuel fuel)
    {
        int index = loop.Index, count = loop.Items.Count;
        return name switch
        {
            "index" => new JinjaInt(index + 1),
            "index0" => new JinjaInt(index),
            "revindex" => new JinjaInt(count - index),
            "revindex0" => new JinjaInt(count - index - 1),
            "first" => JinjaBool.Of(index == 0),
            "last" => JinjaBool.Of(index == count - 1),
            "length" => new JinjaInt(count),
            "depth" => new JinjaInt(loop.Depth + 1),
            "depth0" => new JinjaInt(loop.Depth),
            "previtem" => index > 0 ? loop.Items[index - 1] : new JinjaUndefined("there is no previous item"),
            "nextitem" => index + 1 < count ? loop.Items[index + 1] : new JinjaUndefined("there is no next item"),
            "cycle" => new JinjaFunction(name, arguments => arguments.Positional.Count > 0
                ? arguments.Positional[index % arguments.Positional.Count]
                : throw JinjaOperators.Error("no items for cycling given")),
            "changed" => new JinjaFunction(name, arguments => JinjaBool.Of(HasChanged(loop, arguments, fuel))),
            _ => null,
        };
    }

    private static bool HasChanged(JinjaLoop loop, JinjaArguments arguments, JinjaFuel fuel)
    {
        var now = new JinjaList(arguments.Positional, isTuple: true);
        if (loop.LastChanged is not null && JinjaOperators.AreEqual(loop.LastChanged, now, fuel))
            return false;
        loop.LastChanged = now;
        return true;
    }
}
