namespace NativeLM.Server.Bench;

/// <summary>A server under load and how it is asked.</summary>
/// <param name="BaseUrl">For example http://127.0.0.1:8000.</param>
/// <param name="Model">Model name, or null to ask the server.</param>
/// <param name="ApiKey">Key, or null.</param>
/// <param name="Vocabulary">Prompt ids are below it.</param>
internal sealed record LoadTarget(Uri BaseUrl, string? Model, string? ApiKey, int Vocabulary);
