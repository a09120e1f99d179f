using System.Collections.Concurrent;

namespace NativeLM.Tests.Worlds;

/// <summary>Runs worlds and says how a failure can be seen again.</summary>
internal static class WorldRun
{
    private const int StoryLines = 40;

    /// <summary>Runs many worlds on all processors. Throws what the first failing one says, with the command that replays it.</summary>
    public static WorldTotals Run(ulong firstSeed, int worlds, int steps)
    {
        WorldTotals totals = new();
        ConcurrentQueue<string> failures = [];
        Parallel.For(0, worlds, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, (i, loop) =>
        {
            using World world = new(firstSeed + (ulong)i, fullCheckEvery: 16);
            if (Contradiction(world, firstSeed + (ulong)i, steps) is string failure)
            {
                failures.Enqueue(failure);
                loop.Stop();
            }
            lock (totals)
                totals.Add(world.Totals);
        });
        if (failures.TryDequeue(out string? first))
            throw new InvalidOperationException(first);
        return totals;
    }

    /// <summary>What the first world that goes wrong says; null if every promise holds.</summary>
    public static string? FirstContradiction(ulong firstSeed, int worlds, int steps)
    {
        for (ulong seed = firstSeed; seed < firstSeed + (ulong)worlds; seed++)
        {
            using World world = new(seed);
            if (Contradiction(world, seed, steps) is string found)
                return found;
        }
        return null;
    }

    /// <summary>The last steps of a world, and how it ended, for reading.</summary>
    public static string Tell(ulong seed, int steps)
    {
        Story story = new(StoryLines);
        using World world = new(seed) { Story = story };
        string end = Contradiction(world, seed, steps) ?? $"every promise held\n{world.Totals}";
        return $"{world.Settings}\n\n{string.Join("\n", story.Lines)}\n\n{end}";
    }

    private static string? Contradiction(World world, ulong seed, int steps)
    {
        try
        {
            world.Run(steps);
            return null;
        }
        catch (Exception error)
        {
            return $"seed {seed}, step {world.Totals.Steps}: {error.Message} (replay: scripts/simulate-seed.sh {seed} --steps {steps})";
        }
    }
}
