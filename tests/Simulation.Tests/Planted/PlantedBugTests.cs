using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.Loader;
using Xunit;

namespace NativeLM.Tests.Planted;

/// <summary>
/// Do the worlds bite? Bugs are planted in the real sources one at a time, and short worlds run until one says what is wrong. Bugs that only
/// make the prefix cache forget the wrong block first are no business of theirs: BlockWorldTests compares that block for block.
/// </summary>
public sealed class PlantedBugTests(ITestOutputHelper output)
{
    private const int BugsLeast = 80;
    private const double FoundLeast = 0.9;
    private const ulong FirstSeed = 1000;
    private const int Worlds = 60;
    private const int Steps = 200;

    // Far above what the worlds take: a bug that makes a loop endless is found by never coming back.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public void Nine_of_ten_planted_bugs_are_found()
    {
        PlantedCompiler compiler = new();
        Assert.Null(Try(compiler, bug: null));
        ConcurrentDictionary<PlantedBug, string?> found = [];
        Stopwatch watch = Stopwatch.StartNew();
        Parallel.ForEach(
            Partitioner.Create(PlantedBug.All, EnumerablePartitionerOptions.NoBuffering),
            new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount },
            bug => found[bug] = Try(compiler, bug));
        foreach (PlantedBug bug in PlantedBug.All)
            output.WriteLine($"{bug.Name}: {found[bug] ?? "NOT FOUND: " + bug.Sentence}");
        int count = found.Values.Count(message => message is not null);
        output.WriteLine($"{count} of {found.Count} planted bugs found in {watch.Elapsed.TotalSeconds:0} s");
        Assert.True(found.Count >= BugsLeast, $"{found.Count} bugs are planted, at least {BugsLeast} are needed");
        Assert.True(count >= FoundLeast * found.Count,
            $"{count} of {found.Count} planted bugs are found; not found: {string.Join(", ", found.Where(f => f.Value is null).Select(f => f.Key.Name).Order())}");
    }

    /// <summary>What the worlds say about a bug; null if they say nothing.</summary>
    private static string? Try(PlantedCompiler compiler, PlantedBug? bug)
    {
        (Probe probe, AssemblyLoadContext context) = compiler.Compile(bug);
        string? message = null;
        Thread thread = new(() => message = probe(FirstSeed, Worlds, Steps)) { IsBackground = true };
        thread.Start();
        if (!thread.Join(Patience))
            return $"no answer within {Patience.TotalSeconds:0} s";
        context.Unload();
        return message;
    }
}
