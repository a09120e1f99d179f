using System.Text.Json;

namespace NativeLM.Engine;

/// <summary>How messages are rendered.</summary>
public sealed record ChatTemplateOptions
{
    /// <summary>Whether the prompt ends where the assistant's turn begins.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>Whether the last message is left open, to be continued.</summary>
    public bool ContinueFinalMessage { get; init; }

    /// <summary>JSON array of tools as the API takes them, or null.</summary>
    public JsonElement? Tools { get; init; }

    /// <summary>JSON object of further names for the template (enable_thinking and the like), or null.</summary>
    public JsonElement? Arguments { get; init; }
}
