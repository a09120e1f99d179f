namespace NativeLM.Engine.Memory;

/// <summary>A prefix registered by name: it owns its full blocks, so that they stay in the pool and in the prefix cache. Engine thread only.</summary>
/// <param name="name">Its name.</param>
/// <param name="blockCount">Full blocks of its tokens, at least one.</param>
internal sealed class PinnedPrefix(string name, int blockCount)
{
    public string Name { get; } = name;

    /// <summary>Blocks that it keeps, or will keep once they are computed.</summary>
    public int BlockCount { get; } = blockCount;

    /// <summary>The blocks; empty until they are computed.</summary>
    public BlockTable Table { get; } = new();
}
