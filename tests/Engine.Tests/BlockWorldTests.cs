using Xunit;

namespace NativeLM.Tests;

/// <summary>Random lives of sequences over small pools; after every operation everything is checked against sets and stored content.</summary>
public sealed class BlockWorldTests
{
    public static TheoryData<ulong> Seeds { get; } = new(Enumerable.Range(1, 24).Select(i => (ulong)i));

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Sequences_read_what_they_would_have_written_alone(ulong seed)
    {
        RandomLife life = new((int)seed);
        for (int i = 0; i < 5_000; i++)
        {
            life.Step();
            life.World.Check();
        }
        life.EndAll();
        life.World.Check();
        Assert.Equal((0, 0), (life.World.Manager.Pool.UsedCount, life.World.Manager.Host.UsedCount));
        Assert.True((life.World.Manager.CopyCount > 0 || life.World.Manager.BlockSize == 1) && life.World.Manager.HitTokens > 0 && life.World.Manager.EvictionCount > 0,
            "the seed forks, hits and evicts nothing, so it shows little");
    }
}

/// <summary>Draws operations for a <see cref="BlockWorld"/>: a few prompts that begin alike, groups that fork, swap, shrink and end.</summary>
internal sealed class RandomLife
{
    private readonly Random _random;
    private readonly int[][] _prompts;
    private readonly int _blockSize;
    private int _lastGroup;

    public RandomLife(int seed)
    {
        _random = new Random(seed);
        _blockSize = _random.Next(1, 9);
        int blocks = _random.Next(12, 50);
        World = new BlockWorld(blocks, _blockSize, hostBlockCount: seed % 3 == 0 ? 0 : _random.Next(1, 40), seed: (UInt128)seed);
        int longest = Math.Max(2, blocks * _blockSize / 3);
        _prompts = [.. Enumerable.Range(0, 4).Select(_ => Tokens(longest, 3))];
        for (int i = 1; i < _prompts.Length; i++)
            Array.Copy(_prompts[0], _prompts[i], _random.Next(longest));
    }

    public BlockWorld World { get; }

    public void Step()
    {
        switch (_random.Next(12))
        {
            case 0 or 1:
                Admit();
                break;
            case 2 or 3 or 4 or 5 when Group(swapped: false) is { Count: > 0 } group:
                if (World.Decode(group, () => _random.Next(3)))
                    group.ForEach(World.Index);
                break;
            case 6 when Group(swapped: false) is { Count: > 0 and < 5 } group:
                World.Fork(group[_random.Next(group.Count)]).Group = group[0].Group;
                break;
            case 7 when Group(swapped: null) is { Count: > 0 } group:
                World.End(group[_random.Next(group.Count)]);
                break;
            case 8 when Group(swapped: false) is { Count: > 0 } group:
                World.SwapOut(group);
                break;
            case 9 when Group(swapped: true) is { Count: > 0 } group:
                if (World.SwapIn(group, _random.Next(3)))
                    group.ForEach(World.Index);
                break;
            case 10 when Group(swapped: false) is { Count: 1 } group:
                int kept = group[0].Table.IndexedCount * _blockSize;
                World.Truncate(group[0], Math.Max(1, _random.Next(kept, group[0].Computed + 1)));
                break;
            case 11 when _random.Next(20) == 0:
                World.Reset();
                break;
            case 11 when Group(swapped: false) is { Count: > 0 } group:
                Story whole = group[0];
                if (whole.Computed / _blockSize > 0)
                    World.Fork(whole, _random.Next(1, (whole.Computed / _blockSize) + 1)).Group = ++_lastGroup;
                break;
        }
    }

    public void EndAll()
    {
        while (World.Stories.Count > 0)
            World.End(World.Stories[^1]);
    }

    private void Admit()
    {
        int[] prompt = _prompts[_random.Next(_prompts.Length)];
        if (World.Admit(prompt[.._random.Next(1, prompt.Length + 1)], salt: (UInt128)_random.Next(2), margin: _random.Next(3)) is not Story story)
            return;
        story.Group = ++_lastGroup;
        World.Index(story);
    }

    /// <summary>All sequences of a random group.</summary>
    private List<Story> Group(bool? swapped)
    {
        Story[] candidates = [.. World.Stories.Where(s => swapped is null || s.Table.IsSwapped == swapped)];
        if (candidates.Length == 0)
            return [];
        int group = candidates[_random.Next(candidates.Length)].Group;
        return [.. World.Stories.Where(s => s.Group == group)];
    }

    private int[] Tokens(int count, int vocabulary) => [.. Enumerable.Range(0, count).Select(_ => _random.Next(vocabulary))];
}
