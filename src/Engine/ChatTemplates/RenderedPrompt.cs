namespace NativeLM.Engine;

/// <summary>A stretch of a rendered prompt.</summary>
/// <param name="Text">The text.</param>
/// <param name="IsContent">Whether it came from messages, tools or arguments rather than from the template.</param>
public readonly record struct PromptSegment(string Text, bool IsContent);

/// <summary>A chat rendered by the model's template, with what came from users told apart.</summary>
/// <param name="segments">Adjacent stretches, in order.</param>
public sealed class RenderedPrompt(IReadOnlyList<PromptSegment> segments)
{
    /// <summary>Adjacent stretches, in order.</summary>
    public IReadOnlyList<PromptSegment> Segments { get; } = segments;

    /// <summary>The whole text.</summary>
    public string Text { get; } = string.Concat(segments.Select(segment => segment.Text));
}
