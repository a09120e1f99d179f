using System.Diagnostics;
using System.Globalization;
using System.Text;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>Output written to the terminal as it came, with its text and figures.</summary>
internal sealed record TerminalReply(string Text, int TokenCount, double FirstTokenSeconds, double Seconds)
{
    /// <summary>Submits a prompt and writes the output as it comes. Cancelling ends it where it is.</summary>
    public static async Task<TerminalReply> WriteAsync(
        LlmEngine engine, int[] promptIds, SamplingParams sampling, IReadOnlyList<string> stop, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        Generation tokens = engine.Submit(new GenerationRequest { PromptIds = promptIds, Sampling = sampling });
        TextOptions options = new() { Stop = stop, ContinuesText = engine.Tokenizer.HasText(promptIds) };
        TextGeneration generation = new(tokens, tokens.Cancel, engine.Tokenizer, options);
        StringBuilder text = new();
        int count = 0;
        double first = 0;
        try
        {
            await foreach (TextEvent next in generation.WithCancellation(cancellation))
            {
                if (next.FinishReason == FinishReason.Error)
                    throw new InvalidOperationException(next.Error ?? "the engine could not complete the output");
                if (count == 0 && next.CompletionTokenCount > 0)
                    first = Stopwatch.GetElapsedTime(start).TotalSeconds;
                count = next.CompletionTokenCount;
                text.Append(next.Text);
                Console.Write(next.Text);
            }
        }
        catch (OperationCanceledException)
        {
            Console.Write(" …");
        }
        return new TerminalReply(text.ToString(), count, first, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>One line for people who want to know how fast it was.</summary>
    public string Figures(int promptCount)
    {
        double rate = TokenCount > 1 ? (TokenCount - 1) / Math.Max(1e-9, Seconds - FirstTokenSeconds) : 0;
        return string.Create(CultureInfo.InvariantCulture,
            $"[{promptCount} tokens in, {TokenCount} out, first after {FirstTokenSeconds * 1000:0} ms, {rate:0.0} tokens/s]");
    }
}
