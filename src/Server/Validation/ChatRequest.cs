using System.Text.Json;

namespace NativeLM.Server.Validation;

/// <summary>A checked body of POST /v1/chat/completions.</summary>
internal sealed record ChatRequest(GenerationSettings Settings, ChatPrompt Prompt);

/// <summary>What the model's template is rendered from.</summary>
internal sealed record ChatPrompt
{
    /// <summary>The client's JSON array of messages, checked.</summary>
    public required JsonElement Messages { get; init; }

    /// <summary>UTF-16 units of all contents: a cheap bound before rendering.</summary>
    public long ContentLength { get; init; }

    public bool AddGenerationPrompt { get; init; } = true;

    public bool ContinueFinalMessage { get; init; }

    /// <summary>Further names for the template: a JSON object, or null.</summary>
    public JsonElement? Arguments { get; init; }
}
