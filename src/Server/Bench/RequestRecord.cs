namespace NativeLM.Server.Bench;

/// <summary>What the client saw of one request. Times are seconds.</summary>
internal sealed class RequestRecord
{
    /// <summary>When it was sent, after the start of the run.</summary>
    public double Sent { get; init; }

    /// <summary>Prompt tokens.</summary>
    public int InputCount { get; init; }

    /// <summary>Output tokens received.</summary>
    public int OutputCount { get; set; }

    /// <summary>From sending to the first token.</summary>
    public double FirstToken { get; set; }

    /// <summary>From sending to the last token.</summary>
    public double Total { get; set; }

    /// <summary>Times between events that carried tokens.</summary>
    public List<double> Gaps { get; } = [];

    /// <summary>Why it failed, or null.</summary>
    public string? Error { get; set; }

    /// <summary>Mean time per output token after the first; NaN below two tokens.</summary>
    public double TimePerToken => OutputCount > 1 ? (Total - FirstToken) / (OutputCount - 1) : double.NaN;
}
