namespace NativeLM.Simulation.Traces;

/// <summary>
/// A chat over several rounds: each prompt is the whole history, the reader thinks, and asks on. Conversations begin as a Poisson process; those
/// that were under way before the trace begins are in it with their later rounds, so the rate of requests is the same all along.
/// </summary>
internal sealed class ConversationWorkload : Workload
{
    private const double RoundsMean = 8;
    private const double SecondsPerToken = 0.03; // of an answer, before the next question can be asked
    private const double Past = 1800; // conversations older than this are over

    private static readonly LengthDistribution Question = new(171, 1.6, 4, 1024), Answer = new(341, 0.92, 1, 1024);
    private readonly int _historyMax;
    private readonly double _thinkSeconds;

    /// <param name="historyMax">A conversation ends before its prompt would be longer than this.</param>
    /// <param name="thinkSeconds">Mean time between an answer and the next question.</param>
    public ConversationWorkload(int historyMax, double thinkSeconds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(historyMax, 1024);
        ArgumentOutOfRangeException.ThrowIfNegative(thinkSeconds);
        (_historyMax, _thinkSeconds) = (historyMax, thinkSeconds);
    }

    public override string Name => "rounds";

    public override string Origin => FormattableString.Invariant(
        $"conversations of {RoundsMean} rounds (mean), turns as in sharegpt, history up to {_historyMax} tokens, {_thinkSeconds} s between rounds");

    public override IReadOnlyList<TraceRequest> Poisson(double rate, double duration, ulong seed)
    {
        // Rounds of a conversation, in the mean: long histories end some before their time.
        double perConversation = Enumerable.Range(0, 4000).Average(i => Rounds(new SimRandom(seed ^ 0x5A5A_0004 ^ ((ulong)i << 32)), 0, 1).Count());
        SimRandom gaps = new(seed ^ 0xA5A5_0005);
        List<TraceRequest> requests = [];
        int conversation = 1;
        for (double start = -Past; start < duration; start += gaps.NextExponential() * perConversation / rate, conversation++)
        {
            SimRandom random = new(seed ^ 0x5A5A_0006 ^ ((ulong)conversation << 32));
            requests.AddRange(Rounds(random, start, conversation).Where(r => r.Arrival >= 0 && r.Arrival < duration));
        }
        return [.. requests.OrderBy(static r => r.Arrival).ThenBy(static r => r.Conversation).Take(TraceReader.RowsMax)];
    }

    private IEnumerable<TraceRequest> Rounds(SimRandom random, double start, int conversation)
    {
        int history = 0;
        double time = start;
        do
        {
            int input = history + Question.Draw(random), output = Answer.Draw(random);
            if (input > _historyMax)
                yield break;
            yield return new TraceRequest(time, input, output, Conversation: conversation);
            history = input + output;
            time += output * SecondsPerToken + random.NextExponential() * _thinkSeconds;
        }
        while (random.NextDouble() > 1 / RoundsMean);
    }
}
