namespace NativeLM.Server.Contracts;

/// <summary>One served model name.</summary>
internal sealed record ModelCard(string Id, long Created, string Root, int MaxModelLen)
{
    public string Object { get; } = "model";

    public string OwnedBy { get; } = "nativelm";

    public string? Parent { get; }

    public IReadOnlyList<string> Permission { get; } = [];
}

/// <summary>Answer of GET /v1/models.</summary>
internal sealed record ModelList(IReadOnlyList<ModelCard> Data)
{
    public string Object { get; } = "list";
}
