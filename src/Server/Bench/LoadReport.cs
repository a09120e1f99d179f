namespace NativeLM.Server.Bench;

/// <summary>Figures of one run, as printed and as written to JSON. Times are milliseconds, rates per second.</summary>
internal sealed record LoadReport
{
    public required string Target { get; init; }

    public required int Completed { get; init; }

    public required int Failed { get; init; }

    public required double DurationSeconds { get; init; }

    public required long InputTokens { get; init; }

    public required long OutputTokens { get; init; }

    public required double RequestsPerSecond { get; init; }

    public required double OutputTokensPerSecond { get; init; }

    public required double TotalTokensPerSecond { get; init; }

    /// <summary>Requests per second that met the demands; null without demands.</summary>
    public double? GoodRequestsPerSecond { get; init; }

    /// <summary>Time to first token.</summary>
    public Summary? TtftMs { get; init; }

    /// <summary>Mean time per output token after the first, per request.</summary>
    public Summary? TpotMs { get; init; }

    /// <summary>Gap between events that carried tokens.</summary>
    public Summary? ItlMs { get; init; }

    /// <summary>From sending to the last token.</summary>
    public Summary? E2eMs { get; init; }

    /// <summary>The longest such gap of the whole run.</summary>
    public double LongestGapMs { get; init; }

    /// <summary>How often each failure came.</summary>
    public IReadOnlyDictionary<string, int> Errors { get; init; } = new Dictionary<string, int>();

    public static LoadReport From(string target, LoadResult result, Goodput? goodput)
    {
        RequestRecord[] good = [.. result.Records.Where(static r => r.Error is null)];
        long input = good.Sum(static r => (long)r.InputCount);
        long output = good.Sum(static r => (long)r.OutputCount);
        Summary? gaps = Summary.Of(good.SelectMany(static r => r.Gaps).Select(Milliseconds));
        return new LoadReport
        {
            Target = target,
            Completed = good.Length,
            Failed = result.Records.Count - good.Length,
            DurationSeconds = result.Seconds,
            InputTokens = input,
            OutputTokens = output,
            RequestsPerSecond = good.Length / result.Seconds,
            OutputTokensPerSecond = output / result.Seconds,
            TotalTokensPerSecond = (input + output) / result.Seconds,
            GoodRequestsPerSecond = goodput is null ? null : good.Count(goodput.IsMetBy) / result.Seconds,
            TtftMs = Summary.Of(good.Select(static r => Milliseconds(r.FirstToken))),
            TpotMs = Summary.Of(good.Select(static r => Milliseconds(r.TimePerToken))),
            ItlMs = gaps,
            E2eMs = Summary.Of(good.Select(static r => Milliseconds(r.Total))),
            LongestGapMs = gaps?.Max ?? 0,
            Errors = result.Records.Where(static r => r.Error is not null).GroupBy(static r => r.Error!)
                .ToDictionary(static g => g.Key, static g => g.Count()),
        };
    }

    private static double Milliseconds(double seconds) => seconds * 1000;
}
