namespace NativeLM.Server.Contracts;

/// <summary>Answer of GET /health.</summary>
internal sealed record HealthAnswer(string Status);

/// <summary>Answer of GET /version.</summary>
internal sealed record VersionAnswer(string Version);

/// <summary>Answer of GET /load: requests between their first byte and their last.</summary>
internal sealed record LoadAnswer(long ServerLoad, long Running, long Waiting);
