namespace NativeLM.Simulation.Traces;

/// <summary>
/// Requests drawn from log-normal lengths fitted to what the paper publishes about its data sets: means (section 6.1), and the second moments
/// that figures 2 and 13 imply.
/// </summary>
internal sealed class FittedWorkload : Workload
{
    private readonly LengthDistribution _input;
    private readonly LengthDistribution _output;
    private readonly int _context;
    private readonly int _sharedPrefix;

    private FittedWorkload(string name, string origin, LengthDistribution input, LengthDistribution output, int context = 2048, int sharedPrefix = 0)
    {
        (Name, Origin, _input, _output, _context, _sharedPrefix) = (name, origin, input, output, context, sharedPrefix);
    }

    public override string Name { get; }

    public override string Origin { get; }

    /// <summary>Conversations: mean 162 tokens in, 338 out.</summary>
    public static FittedWorkload ShareGpt { get; } = new("sharegpt", "log-normal lengths fitted to the paper's ShareGPT (mean 161.31 in, 337.99 out)",
        new(171, 1.6, 4, 1024), new(341, 0.92, 1, 2047));

    /// <summary>Instructions: mean 19.4 tokens in, 58.7 out.</summary>
    public static FittedWorkload Alpaca { get; } = new("alpaca", "log-normal lengths fitted to the paper's Alpaca (mean 19.31 in, 58.45 out)",
        new(19.3, 0.45, 1, 1024), new(58.6, 0.95, 1, 1024));

    /// <summary>A chatbot that keeps the last 1,024 tokens as prompt: over half of the prompts have exactly that length.</summary>
    public static FittedWorkload Chat { get; } = new("chat", "log-normal history cut to its last 1024 tokens (55 % have all of them), at most 1024 "
        + "out",
        new(1900, 1.3, 1, 1024), new(341, 0.92, 1, 1024));

    /// <summary>Translation with examples in front: a prefix that all prompts share, then a sentence.</summary>
    public static FittedWorkload Wmt(int sharedPrefix) =>
        new("wmt", $"sentences of 38 tokens (CV 0.5) in and out after a shared prefix of {sharedPrefix}",
        new(38, 0.5, 1, 512), new(38, 0.5, 1, 512), sharedPrefix: sharedPrefix);

    public override IReadOnlyList<TraceRequest> Poisson(double rate, double duration, ulong seed) => Arrive(Lengths(seed), rate, duration, seed);

    private IEnumerator<TraceRequest> Lengths(ulong seed)
    {
        SimRandom random = new(seed ^ 0x5A5A_0002);
        while (true)
        {
            int input = _input.Draw(random) + _sharedPrefix;
            int output = Math.Min(_output.Draw(random), _context - 1 - input);
            yield return new TraceRequest(0, input, output, SharedPrefix: _sharedPrefix);
        }
    }
}
