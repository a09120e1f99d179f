namespace NativeLM.Tests.Worlds;

/// <summary>Decides when a fault happens, and counts.</summary>
internal sealed class FaultDice(Random random, WorldSettings settings)
{
    /// <summary>A request carries a fault more often than a step does: there are fewer of them.</summary>
    public const double PerRequest = 5;

    private readonly double[] _probabilities = [.. Enum.GetValues<Fault>().Select(fault => settings.Faults.GetValueOrDefault(fault))];

    /// <summary>Off: no fault happens any more.</summary>
    public bool IsOn { get; set; } = true;

    /// <summary>How often each fault happened.</summary>
    public int[] Counts { get; } = new int[Enum.GetValues<Fault>().Length];

    /// <summary>True if the fault is to happen now. It counts as having happened: ask only when it can.</summary>
    public bool Hits(Fault fault, double times = 1)
    {
        double probability = _probabilities[(int)fault];
        if (!IsOn || probability == 0 || random.NextDouble() >= probability * times)
            return false;
        Counts[(int)fault]++;
        return true;
    }
}
