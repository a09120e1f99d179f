using System.Text;
using System.Text.Json;
using NativeLM.Engine;

namespace NativeLM.Server.Generations;

/// <summary>One output while it grows: what came since the last chunk was written, and the totals.</summary>
internal sealed class Choice(int index, PromptRun run, bool keepsTokens, bool promptOnly)
{
    private readonly StringBuilder _text = new();
    private readonly List<TextToken> _tokens = [];

    public int Index { get; } = index;

    /// <summary>The prompt it continues.</summary>
    public PromptRun Prompt { get; } = run;

    /// <summary>Text since the last chunk.</summary>
    public StringBuilder Text => _text;

    /// <summary>Tokens since the last chunk; kept only where ids or log-probabilities are reported.</summary>
    public IReadOnlyList<TextToken> Tokens => _tokens;

    /// <summary>True from the first event on.</summary>
    public bool HasBegun { get; private set; }

    /// <summary>Output tokens so far.</summary>
    public int CompletionCount { get; private set; }

    public FinishReason FinishReason { get; private set; }

    /// <summary>The stop string that ended it, or null.</summary>
    public string? StopString { get; private set; }

    /// <summary>The stop id of the request that ended it; null at EOS.</summary>
    public int? ReportedStopTokenId { get; private set; }

    public bool HasDelta => _text.Length > 0 || _tokens.Count > 0;

    public bool HasEnded => FinishReason != FinishReason.None;

    /// <summary>Notes what comes before any token.</summary>
    public void Begin(TextEvent first)
    {
        HasBegun = true;
        Prompt.PromptLogprobs ??= first.PromptLogprobs;
    }

    /// <summary>Adds an event. <paramref name="stopIds"/> are the request's own: EOS is not reported as a stop reason.</summary>
    public void Accept(TextEvent next, IReadOnlyList<int> stopIds)
    {
        FinishReason = next.FinishReason;
        if (promptOnly)
        {
            // The engine drew one token because it must; nobody asked for it.
            FinishReason = next.FinishReason == FinishReason.None ? FinishReason.None : FinishReason.Length;
            return;
        }
        StopString = next.StopString;
        ReportedStopTokenId = stopIds.Contains(next.StopTokenId) ? next.StopTokenId : null;
        CompletionCount = next.CompletionTokenCount;
        _text.Append(next.Text);
        if (keepsTokens)
            _tokens.AddRange(next.Tokens);
    }

    /// <summary>Writes the text since the last chunk as a property.</summary>
    public void WriteText(Utf8JsonWriter json, ReadOnlySpan<byte> name)
    {
        foreach (ReadOnlyMemory<char> chunk in _text.GetChunks())
            if (chunk.Length == _text.Length)
            {
                json.WriteString(name, chunk.Span);
                return;
            }
        json.WriteString(name, _text.ToString());
    }

    /// <summary>The chunk is written; the next one starts empty.</summary>
    public void ClearDelta()
    {
        _text.Clear();
        _tokens.Clear();
    }
}
