namespace NativeLM.Tests.Worlds;

/// <summary>Runs worlds one after another.</summary>
internal static class WorldRun
{
    /// <summary>What the first world that goes wrong says, with its seed; null if every promise holds.</summary>
    public static string? FirstContradiction(ulong firstSeed, int worlds, int steps)
    {
        for (ulong seed = firstSeed; seed < firstSeed + (ulong)worlds; seed++)
        {
            using World world = new(seed, isAsync: seed % 2 == 0);
            try
            {
                world.Run(steps);
            }
            catch (Exception error)
            {
                return $"seed {seed}, step {world.StepCount}: {error.Message}";
            }
        }
        return null;
    }
}
