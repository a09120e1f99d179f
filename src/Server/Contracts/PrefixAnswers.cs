namespace NativeLM.Server.Contracts;

/// <summary>One registered prefix: its tokens, and the KV blocks that it keeps.</summary>
internal sealed record PrefixCard(string Name, int Tokens, int Blocks)
{
    public string Object { get; } = "prefix";
}

/// <summary>Answer of GET /nativelm/prefixes.</summary>
internal sealed record PrefixList(IReadOnlyList<PrefixCard> Data)
{
    public string Object { get; } = "list";
}

/// <summary>Answer of DELETE /nativelm/prefixes/{name}.</summary>
internal sealed record PrefixReleased(string Name)
{
    public string Object { get; } = "prefix";

    public bool Deleted { get; } = true;
}
