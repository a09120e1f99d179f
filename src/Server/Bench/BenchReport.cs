namespace NativeLM.Server.Bench;

/// <summary>What --json writes: the settings and every run, in order.</summary>
internal sealed record BenchReport(string Kind, IReadOnlyDictionary<string, string> Settings, IReadOnlyList<LoadReport> Runs);
