namespace NativeLM.Simulation;

/// <summary>What a run measured. Shares and means are averages over time, from the first arrival to the end of the trace.</summary>
internal sealed record RunResult
{
    /// <summary>Requests of the trace.</summary>
    public required int Requests { get; init; }

    /// <summary>Requests that ended before the run did.</summary>
    public required int Completed { get; init; }

    /// <summary>Mean over requests of latency / output tokens, s/token, queueing included; one that did not end counts until the end.</summary>
    public required double NormalisedLatency { get; init; }

    /// <summary>True if the run was stopped because its latency was certain to exceed the bound.</summary>
    public required bool IsAboveBound { get; init; }

    /// <summary>Mean seconds to the first token.</summary>
    public required double TimeToFirstToken { get; init; }

    /// <summary>Mean requests whose sequences are in a step.</summary>
    public required double BatchedRequests { get; init; }

    /// <summary>Mean requests in the system, queue included.</summary>
    public required double RequestsInSystem { get; init; }

    /// <summary>Seconds of the window.</summary>
    public required double Window { get; init; }

    /// <summary>Sum over requests of the time in the system that falls in the window, s.</summary>
    public required double SojournInWindow { get; init; }

    /// <summary>Output tokens per second of the window, over all sequences.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>Share of the window in which a step ran.</summary>
    public required double Utilisation { get; init; }

    /// <summary>How the KV memory was used.</summary>
    public required MemorySplit Memory { get; init; }

    /// <summary>1 - physical blocks / blocks without sharing, both summed over steps; 0 where nothing is shared.</summary>
    public required double SharingSaved { get; init; }

    /// <summary>Preemptions.</summary>
    public long Preemptions { get; init; }

    /// <summary>Prompt tokens taken from the prefix cache / prompt tokens.</summary>
    public double PrefixHitShare { get; init; }

    /// <summary>Steps of the run.</summary>
    public required long Steps { get; init; }
}

/// <summary>KV memory in shares of the pool; they add up to 1. Time averages.</summary>
/// <param name="Tokens">Slots that hold a token's K and V.</param>
/// <param name="Reserved">Slots taken that will be used later.</param>
/// <param name="Internal">Slots taken that will never be used.</param>
/// <param name="External">Slots that no one holds, or that rounding to a chunk holds back.</param>
internal readonly record struct MemorySplit(double Tokens, double Reserved, double Internal, double External)
{
    /// <summary>Token slots used / slots taken; what is left to 1 is waste in the last blocks.</summary>
    public double OfAllocated => Tokens / (Tokens + Reserved + Internal);
}
