namespace NativeLM.Engine.Memory;

/// <summary>
/// Blocks of the prefix cache that hold the beginning of a prompt: what <see cref="BlockManager.Match"/> found. It owns nothing, so it is
/// good only until a block is taken. Made once and reused. Engine thread only.
/// </summary>
internal sealed class PrefixMatch
{
    private int[] _blocks = new int[64];

    /// <summary>The blocks, first of the prompt first.</summary>
    public ReadOnlySpan<int> Blocks => _blocks.AsSpan(0, BlockCount);

    /// <summary>Blocks found.</summary>
    public int BlockCount { get; private set; }

    /// <summary>Tokens in them: a multiple of the block size.</summary>
    public int TokenCount { get; private set; }

    /// <summary>Tokens of the prompt that was looked up; 0 if none was.</summary>
    public int QueriedCount { get; private set; }

    /// <summary>Where the walk along the found blocks ended.</summary>
    public PrefixChain Chain { get; private set; }

    /// <summary>State of the index in which it was found.</summary>
    public long Version { get; private set; }

    /// <summary>Nothing found.</summary>
    public void Clear() => Start(0, default, 0);

    /// <summary>Begins a walk.</summary>
    public void Start(int queriedCount, PrefixChain root, long version)
    {
        BlockCount = TokenCount = 0;
        QueriedCount = queriedCount;
        Chain = root;
        Version = version;
    }

    /// <summary>Adds the next block.</summary>
    public void Add(int block, int tokenCount, in PrefixChain chain)
    {
        if (BlockCount == _blocks.Length)
            Array.Resize(ref _blocks, checked(_blocks.Length * 2));
        _blocks[BlockCount++] = block;
        TokenCount += tokenCount;
        Chain = chain;
    }
}
