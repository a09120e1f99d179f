using System.Globalization;

namespace NativeLM.Server.Bench;

/// <summary>What a request must meet to count as good; null: no demand. Milliseconds.</summary>
internal sealed record Goodput(double? FirstTokenMs, double? TimePerTokenMs, double? TotalMs)
{
    /// <summary>Reads "ttft:200" "tpot:50" "e2el:2000".</summary>
    public static Goodput Parse(IEnumerable<string> demands)
    {
        Goodput goodput = new(null, null, null);
        foreach (string demand in demands)
        {
            string[] parts = demand.Split(':');
            if (parts.Length != 2 || !double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double milliseconds)
                || milliseconds <= 0)
                throw new ArgumentException($"--goodput: found '{demand}', needed ttft:MS, tpot:MS or e2el:MS");
            goodput = parts[0] switch
            {
                "ttft" => goodput with { FirstTokenMs = milliseconds },
                "tpot" => goodput with { TimePerTokenMs = milliseconds },
                "e2el" => goodput with { TotalMs = milliseconds },
                _ => throw new ArgumentException($"--goodput: found '{demand}', needed ttft:MS, tpot:MS or e2el:MS"),
            };
        }
        return goodput;
    }

    public bool IsMetBy(RequestRecord record) =>
        record.Error is null
        && !(record.FirstToken * 1000 > FirstTokenMs)
        && !(record.TimePerToken * 1000 > TimePerTokenMs)
        && !(record.Total * 1000 > TotalMs);
}
