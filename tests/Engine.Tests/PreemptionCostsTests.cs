using NativeLM.Engine.Scheduling;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The estimates by which the way of a preemption is chosen.</summary>
public sealed class PreemptionCostsTests
{
    private static PreemptionCosts NewCosts() => new(stepSeconds: 0.01, secondsPerToken: 0.001, secondsPerCopy: 0.002, secondsPerBlock: 0.0005);

    [Fact]
    public void Both_ways_grow_linearly_and_a_swap_is_there_and_back()
    {
        PreemptionCosts costs = NewCosts();
        Assert.Equal(0.11, costs.PrefillSeconds(100), 1e-12);
        Assert.Equal(2 * 0.007, costs.SwapSeconds(10), 1e-12);
    }

    [Fact]
    public void Steps_that_take_longer_than_expected_raise_the_estimate_until_it_is_right()
    {
        PreemptionCosts costs = NewCosts();
        for (int i = 0; i < 300; i++)
            costs.ObserveStep(tokens: 100, swappedBlocks: 0, seconds: 0.22);
        Assert.Equal(0.22, costs.PrefillSeconds(100), 1e-3);
        Assert.Equal(2 * 0.007, costs.SwapSeconds(10), 1e-12);
        for (int i = 0; i < 300; i++)
            costs.ObserveStep(tokens: 100, swappedBlocks: 10, seconds: 0.22 + 0.0035);
        Assert.Equal(0.007, costs.SwapSeconds(10), 1e-3);
        Assert.Equal(0.22, costs.PrefillSeconds(100), 1e-3);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1e6)]
    [InlineData(-1)]
    public void One_step_changes_an_estimate_by_little(double seconds)
    {
        PreemptionCosts costs = NewCosts();
        costs.ObserveStep(tokens: 100, swappedBlocks: 0, seconds);
        costs.ObserveStep(tokens: 100, swappedBlocks: 10, seconds);
        Assert.InRange(costs.PrefillSeconds(100), 0.11 * 0.9, 0.11 * 1.2);
        Assert.InRange(costs.SwapSeconds(10), 0.014 * 0.9, 0.014 * 1.2);
    }

    [Fact]
    public void Costs_too_small_to_be_measured_stay_numbers()
    {
        PreemptionCosts costs = new(0, 0, 0, 0);
        costs.ObserveStep(tokens: 0, swappedBlocks: 0, seconds: 1);
        costs.ObserveStep(tokens: 5, swappedBlocks: 5, seconds: 1);
        Assert.Equal((0, 0), (costs.PrefillSeconds(5), costs.SwapSeconds(5)));
    }
}
