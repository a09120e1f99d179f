namespace NativeLM.Server.Bench;

/// <summary>All records of one run and its wall time in seconds.</summary>
internal sealed record LoadResult(IReadOnlyList<RequestRecord> Records, double Seconds);
