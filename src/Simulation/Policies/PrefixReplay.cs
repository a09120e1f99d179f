using NativeLM.Engine.Memory;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>Plays the prompts of a trace through the real prefix cache, one after the other: how much of it could be reused at best.</summary>
internal static class PrefixReplay
{
    /// <summary>Full blocks looked up and found, with blocks of <see cref="TraceRequest.PrefixBlockSize"/> tokens.</summary>
    /// <param name="requests">Requests with ids of their prompt's blocks.</param>
    /// <param name="blockCount">Blocks of the pool; at least one prompt must fit.</param>
    public static (long Asked, long Found) Run(IReadOnlyList<TraceRequest> requests, int blockCount)
    {
        const int BlockSize = TraceRequest.PrefixBlockSize;
        BlockManager blocks = new(blockCount + 1, BlockSize, hostBlockCount: 0, prefixCaching: true, hashSeed: 1);
        BlockTable table = new();
        PrefixMatch match = new();
        long asked = 0, found = 0;
        for (int i = 0; i < requests.Count; i++)
        {
            int[] prompt = SimulatedExecutor.Prompt(i, requests[i]);
            blocks.Match(prompt, salt: 0, match);
            asked += prompt.Length / BlockSize;
            found += match.BlockCount;
            if (!blocks.TryReserve(table, match, prompt.Length, margin: 0))
                throw new ArgumentException($"request {i} has {prompt.Length} tokens, the pool {(long)blockCount * BlockSize} slots");
            blocks.Index(table, prompt, salt: 0, prompt.Length);
            blocks.Free(table);
        }
        return (asked, found);
    }
}
