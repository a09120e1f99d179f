using System.Globalization;
using NativeLM.Engine;
using NativeLM.Tests.Worlds;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// Drives the real scheduler and block manager through seeded worlds. A failing seed is named with the command that replays it.
/// NATIVELM_SIMULATION_SEEDS=N runs N seeds instead of the usual number.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int Steps = 2000;
    private const int Seeds = 800;
    private const long StepsLeast = 1_000_000;

    [Fact]
    public void Every_promise_holds_in_a_million_steps()
    {
        int seeds = Number("NATIVELM_SIMULATION_SEEDS") ?? Seeds;
        WorldTotals totals = WorldRun.Run(firstSeed: 1, seeds, Steps);
        output.WriteLine($"{seeds} worlds, {totals}");
        Assert.True(totals.Steps >= StepsLeast * seeds / Seeds, $"only {totals.Steps} steps ran: the worlds are too idle to prove anything");
        Assert.All(Enum.GetValues<Fault>(), fault => Assert.True(totals.Faults(fault) > seeds / 10, $"{fault} happened {totals.Faults(fault)} times"));
        Assert.All(Enum.GetValues<FinishReason>().Where(reason => reason != FinishReason.None),
            reason => Assert.True(totals.Ends(reason) > seeds / 10, $"{totals.Ends(reason)} requests ended with {reason}"));
        Assert.True(Math.Min(totals.Recomputes, totals.Swaps) > seeds, $"{totals.Recomputes} preemptions by recompute, {totals.Swaps} by swap");
        Assert.True(Math.Min(totals.Copies, totals.HitTokens) > seeds, $"{totals.Copies} copies on write, {totals.HitTokens} tokens from the cache");
        Assert.True(Math.Min(totals.DroppedRows, totals.LateTokens) > seeds, $"{totals.DroppedRows} rows dropped, {totals.LateTokens} late tokens");
    }

    [Fact]
    public void A_seed_replays_exactly()
    {
        Assert.Equal(WorldRun.Tell(seed: 7, Steps), WorldRun.Tell(seed: 7, Steps));
    }

    [Fact]
    public void A_named_seed_tells_its_story()
    {
        ulong seed = ulong.Parse(Environment.GetEnvironmentVariable("NATIVELM_SIMULATION_SEED") ?? "1", CultureInfo.InvariantCulture);
        string story = WorldRun.Tell(seed, Number("NATIVELM_SIMULATION_STEPS") ?? Steps);
        output.WriteLine(story);
        Assert.Contains("every promise held", story, StringComparison.Ordinal);
    }

    private static int? Number(string variable) => Environment.GetEnvironmentVariable(variable) is string text
        ? int.Parse(text, CultureInfo.InvariantCulture)
        : null;
}
