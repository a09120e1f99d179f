using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// Sequences over a block manager and a memory in which every written slot holds a number that stands for the whole sequence up to its token,
/// as K and V do. Whatever the manager decides, a sequence must read from its blocks what it would have written alone.
/// </summary>
internal sealed class BlockWorld
{
    private readonly Dictionary<(long State, int Token, UInt128 Salt), long> _states = [];
    private readonly PrefixMatch _match = new();
    private readonly long[,] _device;
    private readonly long[,] _host;

    public BlockWorld(int blockCount, int blockSize, int hostBlockCount, UInt128 seed, bool prefixCaching = true)
    {
        Manager = new BlockManager(blockCount, blockSize, hostBlockCount, prefixCaching, seed);
        _device = new long[blockCount, blockSize];
        _host = new long[hostBlockCount, blockSize];
    }

    public BlockManager Manager { get; }

    public List<Story> Stories { get; } = [];

    /// <summary>Steps so far in which something was swapped, copied or written.</summary>
    public int StepCount { get; private set; }

    /// <summary>Admits a sequence if it fits, computes its tokens and indexes them. Returns null if it does not fit.</summary>
    public Story? Admit(int[] tokens, UInt128 salt, int margin = 0)
    {
        Manager.Match(tokens, salt, _match);
        int free = Manager.Pool.FreeCount, evictions = (int)Manager.EvictionCount;
        int revived = _match.Blocks.ToArray().Count(block => Manager.Pool.References(block) == 0);
        int needed = ((tokens.Length + Manager.BlockSize - 1) / Manager.BlockSize) - _match.BlockCount + revived;
        Story story = new(salt, [.. tokens]);
        bool fits = Manager.TryReserve(story.Table, _match, tokens.Length, margin);
        Assert.Equal(needed <= free - margin, fits);
        Assert.Equal(fits ? free - needed : free, Manager.Pool.FreeCount);
        if (!fits)
        {
            Assert.Equal((0, evictions), (story.Table.Count, (int)Manager.EvictionCount));
            return null;
        }
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
        if (cost > free)
            return false;
        StepPlan plan = NewPlan();
        foreach (Story story in group)
            Manager.PrepareWrite(story.Table, story.Computed, plan);
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
            child.Tokens.RemoveRange(child.Computed, child.Tokens.Count - child.Computed);
        }
        Manager.Fork(parent.Table, child.Table, count);
        Stories.Add(child);
        return child;
    }

    public void End(Story story)
    {
        Manager.Free(story.Table);
        Stories.Remove(story);
    }

    public bool SwapOut(IReadOnlyList<Story> group)
    {
        StepPlan plan = NewPlan();
        int distinct = group.SelectMany(s => s.Table.Blocks.ToArray()).Distinct().Count(), room = Manager.Host.FreeCount;
        bool done = Manager.TrySwapOut([.. group.Select(s => s.Table)], plan);
        Assert.Equal(distinct <= room, done);
        Assert.Equal(done ? distinct : 0, plan.SwapOuts.Length);
        Run(plan);
        return done;
    }

    public bool SwapIn(IReadOnlyList<Story> group, int margin = 0)
    {
        StepPlan plan = NewPlan();
        int distinct = group.SelectMany(s => s.Table.Blocks.ToArray()).Distinct().Count(), room = Manager.Pool.FreeCount - margin;
        bool done = Manager.TrySwapIn([.. group.Select(s => s.Table)], margin, plan);
        Assert.Equal(distinct == 0 || distinct <= room, done);
        Assert.Equal(done ? distinct : 0, plan.SwapIns.Length);
        Run(plan);
        return done;
    }

    /// <summary>Gives drafts back: the sequence keeps some tokens.</summary>
    public void Truncate(Story story, int tokens)
    {
        Manager.Truncate(story.Table, tokens);
        story.Tokens.RemoveRange(tokens, story.Tokens.Count - tokens);
        story.Computed = Math.Min(story.Computed, tokens);
    }

    public void Index(Story story) =>
        Manager.Index(story.Table, story.Tokens.ToArray(), story.Salt, story.Computed);

    /// <summary>Everything adds up, and every sequence reads what it would have written alone.</summary>
    public void Check()
    {
        Manager.CheckInvariants(Stories.Select(s => s.Table));
        HashSet<int> used = [.. Stories.Where(s => !s.Table.IsSwapped).SelectMany(s => s.Table.Blocks.ToArray())];
        Assert.Equal(used.Count, Manager.Pool.UsedCount);
        foreach (Story story in Stories)
            CheckContent(story);
    }

    public void CheckContent(Story story)
    {
        Assert.Equal((story.Computed + Manager.BlockSize - 1) / Manager.BlockSize, story.Table.Count);
        long state = 0;
        for (int i = 0; i < story.Computed; i++)
        {
            state = Next(state, story.Tokens[i], story.Salt);
            long[,] memory = story.Table.IsSwapped ? _host : _device;
            long found = memory[story.Table[i / Manager.BlockSize], i % Manager.BlockSize];
            Assert.True(found == state, $"position {i} in block {story.Table[i / Manager.BlockSize]} holds another sequence's state");
        }
    }

    private void Write(Story story, int end)
    {
        long state = 0;
        for (int i = 0; i < end; i++)
        {
            state = Next(state, story.Tokens[i], story.Salt);
            if (i < story.Computed)
                continue;
            int block = story.Table[i / Manager.BlockSize];
            Assert.True(Manager.Pool.References(block) == 1 && !Manager.Pool.IsIndexed(block),
                $"position {i} is written into block {block} with {Manager.Pool.References(block)} owners");
            _device[block, i % Manager.BlockSize] = state;
        }
        story.Computed = end;
    }

    private void Run(StepPlan plan)
    {
        StepCount++;
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

    /// <summary>A number for a sequence that goes on from another with one more token; no two differ and have the same.</summary>
    private long Next(long state, int token, UInt128 salt)
    {
        if (!_states.TryGetValue((state, token, salt), out long next))
            _states.Add((state, token, salt), next = _states.Count + 1);
        return next;
    }
}

/// <summary>A sequence in a <see cref="BlockWorld"/>.</summary>
internal sealed class Story(UInt128 salt, List<int> tokens)
{
    public UInt128 Salt { get; } = salt;

    public List<int> Tokens { get; } = tokens;

    public BlockTable Table { get; } = new();

    /// <summary>Tokens whose state is in memory.</summary>
    public int Computed { get; set; }

    /// <summary>Sequences of one group share blocks and move together.</summary>
    public int Group { get; set; }
}
