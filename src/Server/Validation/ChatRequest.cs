using System.Text.Json;

namespace NativeLM.Server.Validation;

/// <summary>One message. Text parts are joined by newlines; ToolCalls is the client's JSON array, checked.</summary>
internal sealed record ChatMessageInput(string Role, string? Content, string? Name, string? ToolCallId, JsonElement? ToolCalls);

/// <summary>A checked body of POST /v1/chat/completions.</summary>
internal sealed record ChatRequest(GenerationSettings Settings, ChatPrompt Prompt);

/// <summary>What the model's template is rendered from.</summary>
internal sealed record ChatPrompt
{
    public required IReadOnlyList<ChatMessageInput> Messages { get; init; }

    public bool AddGenerationPrompt { get; init; } = true;

    public bool ContinueFinalMessage { get; init; }

    /// <summary>none, minimal, low, medium or high, for templates that know it; or null.</summary>
    public string? ReasoningEffort { get; init; }

    /// <summary>Extra template variables: the client's JSON object, or null.</summary>
    public JsonElement? TemplateArguments { get; init; }
}
