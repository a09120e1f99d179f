using NativeLM.Simulation.Traces;

namespace NativeLM.Benchmarks.Paged;

/// <summary>Prompts of random ordinary tokens.</summary>
internal static class Prompts
{
    private const int FirstOrdinary = 4; // the ids below are control tokens of the demo model

    public static int[] Of(int length, int vocabulary, int seed)
    {
        SimRandom random = new((ulong)(uint)seed);
        int[] ids = new int[length];
        for (int i = 0; i < length; i++)
            ids[i] = FirstOrdinary + random.NextInt(vocabulary - FirstOrdinary);
        return ids;
    }
}
