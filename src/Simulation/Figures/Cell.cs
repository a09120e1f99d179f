namespace NativeLM.Simulation.Figures;

/// <summary>One independent piece of work of the evaluation: a run, or a search for a rate.</summary>
/// <param name="Key">Names its result; equal keys are the same work and run once.</param>
/// <param name="Run">Does it.</param>
internal sealed record Cell(string Key, Func<CancellationToken, CellResult> Run);

/// <summary>What a cell found.</summary>
/// <param name="Value">Its number: a rate in requests/s, or the normalised latency in s/token of a run.</param>
/// <param name="Run">The run, if it is one.</param>
internal sealed record CellResult(double Value, RunResult? Run = null);

/// <summary>Results by key.</summary>
internal sealed class CellResults(IReadOnlyDictionary<string, CellResult> results)
{
    /// <summary>The number of a cell.</summary>
    public double this[string key] => Find(key).Value;

    /// <summary>The run of a cell.</summary>
    public RunResult Run(string key) => Find(key).Run ?? throw new ArgumentException($"cell '{key}' is no single run", nameof(key));

    private CellResult Find(string key) => results.TryGetValue(key, out CellResult? result) ? result
        : throw new ArgumentException($"no cell '{key}' was run", nameof(key));
}
