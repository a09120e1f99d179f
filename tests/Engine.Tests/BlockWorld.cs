using System.Runtime.InteropServices;
using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// Sequences over a block manager and a memory in which every written slot holds a number that stands for the whole sequence up to its token,
/// as K and V do. Whatever the manager decides, a sequence must read from its blocks what it would have written alone. Beside it runs a
/// <see cref="NaiveBlockManager"/>, with which it must agree on every block.
/// </summary>
internal sealed class BlockWorld
{
    private readonly Dictionary<(long State, int Token, UInt128 Salt), long> _states = [];
    private readonly PrefixMatch _match = new();
    private readonly long[,] _device;
    private readonly long[,] _host;

    public BlockWorld(int blockCount, int blockSize, int hostBlockCount, UInt128 seed)
    {
        Manager = new BlockManager(blockCount, blockSize, hostBlockCount, prefixCaching: true, seed);
        Naive = new NaiveBlockManager(blockCount, blockSize, hostBlockCount);
        _device = new long[blockCount, blockSize];
        _host = new long[hostBlockCount, blockSize];
    }

    public BlockManager Manager { get; }

    public NaiveBlockManager Naive { get; }

    public List<Story> Stories { get; } = [];

    /// <summary>Admits a sequence if it fits, computes its tokens and indexes them. Returns null if it does not fit.</summary>
    public Story? Admit(int[] tokens, UInt128 salt, int margin = 0)
    {
        Manager.Match(tokens, salt, _match);
        List<int> naive = Naive.Match(tokens, salt);
        Assert.Equal(naive, _match.Blocks.ToArray());
        Story story = new(salt, [.. tokens]);
        bool fits = Manager.TryReserve(story.Table, _match, tokens.Length, margin);
        Assert.Equal(Naive.TryReserve(story.Naive, naive, tokens.Length, margin), fits);
        if (!fits)
            return null;
        story.Computed = _match.TokenCount;
        Stories.Add(story);
        Write(story, tokens.Length);
        return story;
    }

    /// <summary>One decode step of a group: the sequences share some blocks. False if the blocks do not suffice.</summary>
    public bool Decode(IReadOnlyList<Story> group, Func<int> token)
    {
        BlockTable[] tables = [.. group.Select(s => s.Table)];
        int[] positions = [.. group.Select(s => s.Computed)];
        int cost = Manager.WriteCost(tables, positions), free = Manager.Pool.FreeCount;
        Assert.Equal(Naive.WriteCost([.. group.Select(s => s.Naive)], positions), cost);
        if (cost > free)
            return false;
        StepPlan plan = NewPlan();
        foreach (Story story in group)
        {
            int copies = plan.Copies.Length;
            Manager.PrepareWrite(story.Table, story.Computed, plan);
            BlockCopy? expected = Naive.PrepareWrite(story.Naive, story.Computed) is (int source, int copy) ? new BlockCopy(source, copy) : null;
            Assert.Equal(expected, plan.Copies.Length > copies ? plan.Copies[^1] : null);
        }
        Assert.Equal(free - cost, Manager.Pool.FreeCount);
        Run(plan);
        foreach (Story story in group)
        {
            story.Tokens.Add(token());
            Write(story, story.Tokens.Count);
        }
        return true;
    }

    public Story Fork(Story parent, int? blockCount = null)
    {
        Story child = new(parent.Salt, [.. parent.Tokens]) { Computed = parent.Computed };
        int count = blockCount ?? parent.Table.Count;
        if (count < parent.Table.Count)
        {
            child.Computed = count * Manager.BlockSize;
            child.Shorten(child.Computed);
        }
        Manager.Fork(parent.Table, child.Table, count);
        Naive.Fork(parent.Naive, child.Naive, count);
        Stories.Add(child);
        return child;
    }

    public void End(Story story)
    {
        Manager.Free(story.Table);
        Naive.Free(story.Naive);
        Stories.Remove(story);
    }

    public bool SwapOut(IReadOnlyList<Story> group)
    {
        StepPlan plan = NewPlan();
        bool done = Manager.TrySwapOut([.. group.Select(s => s.Table)], plan);
        Assert.Equal(Naive.TrySwapOut([.. group.Select(s => s.Naive)]), done);
        Run(plan);
        return done;
    }

    public bool SwapIn(IReadOnlyList<Story> group, int margin = 0)
    {
        StepPlan plan = NewPlan();
        bool done = Manager.TrySwapIn([.. group.Select(s => s.Table)], margin, plan);
        Assert.Equal(Naive.TrySwapIn([.. group.Select(s => s.Naive)], margin), done);
        Run(plan);
        return done;
    }

    /// <summary>Gives drafts back: the sequence keeps some tokens.</summary>
    public void Truncate(Story story, int tokens)
    {
        Manager.Truncate(story.Table, tokens);
        Naive.Truncate(story.Naive, tokens);
        story.Shorten(tokens);
        story.Computed = Math.Min(story.Computed, tokens);
    }

    public void Index(Story story)
    {
        Manager.Index(story.Table, story.Tokens.ToArray(), story.Salt, story.Computed);
        Naive.Index(story.Naive, story.Tokens, story.Salt, story.Computed);
    }

    public void Reset()
    {
        Manager.ResetPrefixCache();
        Naive.Reset();
    }

    /// <summary>Everything adds up, and every sequence reads what it would have written alone.</summary>
    public void Check()
    {
        Manager.CheckInvariants(Stories.Select(s => s.Table));
        Assert.True(Naive.FreeBlocks.SequenceEqual(Manager.Pool.FreeBlocks()), "the free lists differ");
        Assert.True(Naive.IndexedBlocks.All(Manager.Pool.IsIndexed) && Naive.IndexedBlocks.Count() == Manager.PrefixIndex!.Count, "the indexes differ");
        foreach (Story story in Stories)
        {
            Assert.True(story.Table.Blocks.SequenceEqual(CollectionsMarshal.AsSpan(story.Naive.Blocks)), "the tables differ");
            Assert.Equal((story.Naive.Indexed, story.Naive.IsSwapped), (story.Table.IndexedCount, story.Table.IsSwapped));
            CheckContent(story);
        }
    }

    private void CheckContent(Story story)
    {
        Assert.Equal((story.Computed + Manager.BlockSize - 1) / Manager.BlockSize, story.Table.Count);
        long[,] memory = story.Table.IsSwapped ? _host : _device;
        for (int i = 0; i < story.Computed; i++)
            if (memory[story.Table[i / Manager.BlockSize], i % Manager.BlockSize] != State(story, i))
                Assert.Fail($"position {i} in block {story.Table[i / Manager.BlockSize]} holds another sequence's state");
    }

    private void Write(Story story, int end)
    {
        for (int i = story.Computed; i < end; i++)
        {
            int block = story.Table[i / Manager.BlockSize];
            Assert.True(Manager.Pool.References(block) == 1 && !Manager.Pool.IsIndexed(block),
                $"position {i} is written into block {block} with {Manager.Pool.References(block)} owners");
            _device[block, i % Manager.BlockSize] = State(story, i);
        }
        story.Computed = end;
    }

    private void Run(StepPlan plan)
    {
        foreach (BlockSwap swap in plan.SwapOuts)
            Copy(_device, swap.DeviceBlock, _host, swap.HostBlock);
        foreach (BlockSwap swap in plan.SwapIns)
            Copy(_host, swap.HostBlock, _device, swap.DeviceBlock);
        Assert.Empty(plan.Copies.ToArray().Select(c => c.Source).Intersect(plan.Copies.ToArray().Select(c => c.Destination)));
        foreach (BlockCopy copy in plan.Copies)
            Copy(_device, copy.Source, _device, copy.Destination);
    }

    private void Copy(long[,] from, int source, long[,] to, int destination)
    {
        for (int i = 0; i < Manager.BlockSize; i++)
            to[destination, i] = from[source, i];
    }

    private StepPlan NewPlan() => new(sequencesMax: 1, copiesMax: 64, swapsMax: Manager.Pool.UsableCount + 1);

    /// <summary>A number for a sequence up to a position; different beginnings never have the same.</summary>
    private long State(Story story, int position)
    {
        for (int i = story.States.Count; i <= position; i++)
        {
            (long, int, UInt128) key = (i == 0 ? 0 : story.States[i - 1], story.Tokens[i], story.Salt);
            if (!_states.TryGetValue(key, out long state))
                _states.Add(key, state = _states.Count + 1);
            story.States.Add(state);
        }
        return story.States[position];
    }
}

/// <summary>A sequence in a <see cref="BlockWorld"/>.</summary>
internal sealed class Story(UInt128 salt, List<int> tokens)
{
    public UInt128 Salt { get; } = salt;

    public List<int> Tokens { get; } = tokens;

    /// <summary>The numbers that stand for its beginnings, as far as they were needed.</summary>
    public List<long> States { get; } = [];

    public BlockTable Table { get; } = new();

    public NaiveTable Naive { get; } = new();

    /// <summary>Tokens whose state is in memory.</summary>
    public int Computed { get; set; }

    /// <summary>Sequences of one group share blocks and move together.</summary>
    public int Group { get; set; }

    /// <summary>Keeps the first tokens.</summary>
    public void Shorten(int tokens)
    {
        Tokens.RemoveRange(tokens, Tokens.Count - tokens);
        if (States.Count > tokens)
            States.RemoveRange(tokens, States.Count - tokens);
    }
}
