using System.Globalization;
using NativeLM.Engine;
using NativeLM.Tests.Worlds;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// Drives the real scheduler and pool through seeded worlds. A failing seed is named; replay it alone with
/// NATIVELM_SIMULATION_SEED=N. NATIVELM_SIMULATION_SEEDS=N runs N seeds instead of the usual number.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int FaultySteps = 2000;
    private const ulong UsualSeeds = 160;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_promise_holds_in_every_world(bool isAsync)
    {
        ulong? only = Number("NATIVELM_SIMULATION_SEED");
        ulong first = only ?? 1, count = only is null ? Number("NATIVELM_SIMULATION_SEEDS") ?? UsualSeeds : 1;
        long steps = 0, preemptions = 0, dropped = 0, late = 0;
        Dictionary<FinishReason, int> ends = [];
        for (ulong seed = first; seed < first + count; seed++)
        {
            using World world = Run(seed, isAsync);
            steps += world.StepCount;
            preemptions += world.Preemptions;
            dropped += world.DroppedRows;
            late += world.LateTokens;
            foreach ((FinishReason reason, int times) in world.Ends)
                ends[reason] = ends.GetValueOrDefault(reason) + times;
        }
        output.WriteLine($"{count} worlds, {steps} steps, {preemptions} preemptions, {dropped} rows dropped, {late} tokens after preemption, ends: {string.Join(", ", ends)}");
        if (only is not null)
            return;
        Assert.True(steps > (long)count * FaultySteps / 4, $"only {steps} steps ran: the worlds are too idle to prove anything");
        Assert.True(preemptions > (long)count, $"only {preemptions} preemptions");
        Assert.True(isAsync ? dropped > (long)count && late > (long)count : dropped + late == 0, $"{dropped} rows dropped, {late} late tokens");
        foreach (FinishReason reason in Enum.GetValues<FinishReason>().Where(r => r is not (FinishReason.None or FinishReason.DeadlineExceeded)))
            Assert.True(ends.GetValueOrDefault(reason) > 100, $"only {ends.GetValueOrDefault(reason)} ends with {reason}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_seed_replays_exactly(bool isAsync)
    {
        using World once = Run(7, isAsync), again = Run(7, isAsync);
        Assert.Equal((once.StepCount, once.Preemptions), (again.StepCount, again.Preemptions));
        Assert.Equal(once.Ends, again.Ends);
    }

    private static World Run(ulong seed, bool isAsync)
    {
        World world = new(seed, isAsync);
        try
        {
            world.Run(FaultySteps);
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"seed {seed}, {(isAsync ? "asynchronous, " : "")}step {world.StepCount}: {error.Message} (replay: NATIVELM_SIMULATION_SEED={seed})", error);
        }
        return world;
    }

    private static ulong? Number(string variable) => Environment.GetEnvironmentVariable(variable) is string text
        ? ulong.Parse(text, CultureInfo.InvariantCulture)
        : null;
}
