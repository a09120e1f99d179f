using System.Globalization;
using System.Text;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>Several outputs of one prompt, written one after the other once all have ended.</summary>
internal static class TerminalChoices
{
    /// <summary>Submits a prompt, waits for its outputs and writes each under a line with its number, and its score if beam search found it.</summary>
    public static async Task WriteAsync(
        LlmEngine engine, int[] promptIds, SamplingParams sampling, IReadOnlyList<string> stop, CancellationToken cancellation)
    {
        Generation tokens = engine.Submit(new GenerationRequest { PromptIds = promptIds, Sampling = sampling });
        TextOptions options = new() { Stop = stop, ContinuesText = engine.Tokenizer.HasText(promptIds) };
        StringBuilder[] texts = [.. Enumerable.Range(0, sampling.N).Select(static _ => new StringBuilder())];
        await foreach (TextEvent next in new TextGeneration(tokens, engine.Tokenizer, options).WithCancellation(cancellation))
        {
            if (next.FinishReason is FinishReason.Error or FinishReason.DeadlineExceeded)
                throw new InvalidOperationException(next.Error ?? "the engine could not complete the output");
            texts[next.Index].Append(next.Text);
        }
        for (int i = 0; i < texts.Length; i++)
        {
            string score = i < tokens.BeamScores.Count ? string.Create(CultureInfo.InvariantCulture, $", score {tokens.BeamScores[i]:0.000}") : "";
            Console.WriteLine($"--- {i + 1} of {texts.Length}{score} ---");
            Console.WriteLine(texts[i]);
        }
    }
}
