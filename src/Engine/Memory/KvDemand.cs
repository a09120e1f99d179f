namespace NativeLM.Engine.Memory;

/// <summary>How many KV blocks tokens need. All arithmetic is 64-bit and checked: the counts come from requests.</summary>
internal static class KvDemand
{
    /// <summary>Blocks that hold a number of tokens.</summary>
    public static long Blocks(long tokens, int blockSize) => checked(tokens + blockSize - 1) / blockSize;

    /// <summary>Most blocks a sequence ever holds. The last token is drawn but never computed, so it needs no slot.</summary>
    public static long BlocksMax(int promptCount, long outputMax, int blockSize) => Blocks(checked(promptCount + outputMax - 1), blockSize);

    /// <summary>
    /// Most blocks that a request of several sequences ever holds: they share the full blocks of the prompt, and in the worst case nothing else.
    /// </summary>
    public static long BlocksMax(int promptCount, long outputMax, int width, int blockSize)
    {
        long shared = promptCount / blockSize;
        return checked(shared + (width * (BlocksMax(promptCount, outputMax, blockSize) - shared)));
    }

    /// <summary>Longest output with which a request still fits a pool alone; below 1 if the prompt itself does not.</summary>
    public static long OutputMaxThatFits(int promptCount, int width, int usableBlocks, int blockSize)
    {
        long shared = promptCount / blockSize;
        if (usableBlocks < shared)
            return 0;
        return checked(((shared + ((usableBlocks - shared) / width)) * blockSize) + 1 - promptCount);
    }
}
