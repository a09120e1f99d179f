namespace NativeLM.Engine.Memory;

/// <summary>How many KV blocks tokens need. All arithmetic is 64-bit and checked: the counts come from requests.</summary>
internal static class KvDemand
{
    /// <summary>Blocks that hold a number of tokens.</summary>
    public static long Blocks(long tokens, int blockSize) => checked(tokens + blockSize - 1) / blockSize;

    /// <summary>Most blocks a sequence ever holds. The last token is drawn but never computed, so it needs no slot.</summary>
    public static long BlocksMax(int promptCount, long outputMax, int blockSize) => Blocks(checked(promptCount + outputMax - 1), blockSize);

    /// <summary>Longest output with which a prompt still fits a pool alone; below 1 if the prompt itself does not.</summary>
    public static long OutputMaxThatFits(int promptCount, int usableBlocks, int blockSize) =>
        checked((long)usableBlocks * blockSize + 1 - promptCount);
}
