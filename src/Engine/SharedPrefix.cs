namespace NativeLM.Engine;

/// <summary>A prefix that was registered by name: its full blocks stay in the KV pool until it is released.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TokenCount">Tokens given; those beyond the last full block are not kept.</param>
/// <param name="BlockCount">Blocks that stay.</param>
public sealed record SharedPrefix(string Name, int TokenCount, int BlockCount);
