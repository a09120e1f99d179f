using NativeLM.Engine;
using Xunit;

namespace NativeLM.Tests;

/// <summary>All that a reader of a generation saw, sequence by sequence.</summary>
internal sealed class Outputs
{
    private readonly List<int>[] _tokens;
    private readonly List<string>[] _events;

    private Outputs(int count)
    {
        _tokens = [.. Enumerable.Range(0, count).Select(_ => new List<int>())];
        _events = [.. Enumerable.Range(0, count).Select(_ => new List<string>())];
    }

    /// <summary>Tokens of each sequence, the one that ended it included.</summary>
    public IEnumerable<int[]> Tokens => _tokens.Select(tokens => tokens.ToArray());

    /// <summary>Every event of each sequence, log-probabilities by their bits: equal for equal arithmetic only.</summary>
    public string[] Fingerprints => [.. _events.Select(events => string.Join(' ', events))];

    public static async Task<Outputs> Read(Generation generation)
    {
        Outputs outputs = new(generation.SequenceCount);
        await foreach (TokenEvent e in generation)
        {
            Assert.True(e.FinishReason is FinishReason.None or FinishReason.Stop or FinishReason.Length, $"ended with {e.FinishReason}: {e.Error}");
            outputs._tokens[e.Index].Add(e.TokenId >= 0 ? e.TokenId : e.StopTokenId);
            outputs._events[e.Index].Add($"{e.TokenId}/{e.StopTokenId}/{e.FinishReason}/{Bits(e.Logprob)}/{e.Rank}/{Bits(e.TopLogprobs)}/"
                + Bits(e.PromptLogprobs?.Select(entry => new TokenLogprob(entry.TokenId, entry.Logprob))));
        }
        return outputs;
    }

    private static string Bits(IEnumerable<TokenLogprob>? entries) =>
        string.Join(',', (entries ?? []).Select(entry => $"{entry.TokenId}:{Bits(entry.Logprob)}"));

    public static string Bits(float value) => BitConverter.SingleToUInt32Bits(value).ToString("x8");
}
