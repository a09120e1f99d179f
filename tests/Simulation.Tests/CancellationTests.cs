using NativeLM.Tests.Worlds;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Cancelling is safe at any moment: nothing that a request held stays held.</summary>
public sealed class CancellationTests(ITestOutputHelper output)
{
    private const int CancelsLeast = 10_000;
    private const int OfEachStateLeast = 100;
    private const ulong SeedsMax = 2000;

    private static readonly Fault[] Cancels =
        [Fault.CancelWaiting, Fault.CancelPrefill, Fault.CancelDecode, Fault.CancelPreempted, Fault.CancelSwapped, Fault.CancelInFlight, Fault.CancelSequence, Fault.CancelTwice];

    [Fact]
    public void Ten_thousand_cancels_in_every_state_leave_the_pool_as_it_was()
    {
        WorldTotals totals = new();
        for (ulong seed = 1; seed <= SeedsMax && !IsEnough(totals); seed++)
        {
            WorldSettings settings = WorldSettings.Of(new Random((int)seed)) with { Faults = Cancels.ToDictionary(fault => fault, _ => 0.1), ArrivalRate = 1 };
            using World world = new(seed, settings);
            world.Run(faultySteps: 300); // and until it is idle; then every block of both pools is free and in its list
            totals.Add(world.Totals);
        }
        output.WriteLine(totals.ToString());
        Assert.All(Cancels, fault => Assert.True(totals.Faults(fault) >= OfEachStateLeast, $"{fault} happened {totals.Faults(fault)} times"));
        Assert.True(Cancels.Sum(totals.Faults) >= CancelsLeast, $"only {Cancels.Sum(totals.Faults)} cancels");
    }

    private static bool IsEnough(WorldTotals totals) =>
        Cancels.Sum(totals.Faults) >= CancelsLeast && Cancels.All(fault => totals.Faults(fault) >= OfEachStateLeast);
}
