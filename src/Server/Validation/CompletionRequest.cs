namespace NativeLM.Server.Validation;

/// <summary>One prompt: text, or ids.</summary>
internal readonly record struct PromptInput(string? Text, int[]? Ids);

/// <summary>A checked body of POST /v1/completions.</summary>
internal sealed record CompletionRequest(GenerationSettings Settings, IReadOnlyList<PromptInput> Prompts, bool Echo);
