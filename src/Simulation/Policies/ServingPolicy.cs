namespace NativeLM.Simulation.Policies;

/// <summary>Who decides what runs and where its KV lies.</summary>
internal enum ServingPolicy
{
    /// <summary>NativeLM's scheduler with its defaults: mixed chunked prefill, prefix cache, preemption by cost.</summary>
    NativeLM,

    /// <summary>NativeLM's scheduler with the settings of the paper's engine in 2023.</summary>
    Paper,

    /// <summary>Iteration-level scheduling; every sequence reserves the whole context.</summary>
    OrcaMax,

    /// <summary>As above, reserving prompt and the output rounded up to a power of two.</summary>
    OrcaPow2,

    /// <summary>As above, reserving exactly what the sequence will need, which no real system knows.</summary>
    OrcaOracle,

    /// <summary>FasterTransformer: a batch runs until its longest member ends.</summary>
    Static,
}

/// <summary>Names of the policies on the command line and in tables.</summary>
internal static class ServingPolicies
{
    private static readonly (ServingPolicy Policy, string Word, string Title)[] Names =
    [
        (ServingPolicy.NativeLM, "nativelm", "NativeLM"),
        (ServingPolicy.Paper, "paper", "paged (paper)"),
        (ServingPolicy.OrcaMax, "orca-max", "Orca (Max)"),
        (ServingPolicy.OrcaPow2, "orca-pow2", "Orca (Pow2)"),
        (ServingPolicy.OrcaOracle, "orca-oracle", "Orca (Oracle)"),
        (ServingPolicy.Static, "static", "FasterTransformer"),
    ];

    /// <summary>Words of the command line, in the order of the enum.</summary>
    public static IEnumerable<string> Words => Names.Select(static n => n.Word);

    /// <summary>Word of the command line.</summary>
    public static string Word(this ServingPolicy policy) => Names[(int)policy].Word;

    /// <summary>Name in tables and plots.</summary>
    public static string Title(this ServingPolicy policy) => Names[(int)policy].Title;

    /// <summary>The policy of a word, or null.</summary>
    public static ServingPolicy? Parse(string word)
    {
        foreach ((ServingPolicy policy, string known, string _) in Names)
            if (string.Equals(word, known, StringComparison.OrdinalIgnoreCase))
                return policy;
        return null;
    }
}
