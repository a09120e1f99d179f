using NativeLM.Engine;

namespace NativeLM.Server.Generations;

/// <summary>One prompt that is being continued, and the choices that come of it: all from one generation, so that the prompt is computed once.</summary>
internal sealed class PromptRun
{
    private readonly Generation _generation;
    private readonly bool _keepsBest;

    /// <param name="ids">The prompt.</param>
    /// <param name="echo">The prompt as text; empty unless it is echoed.</param>
    /// <param name="generation">The engine's side.</param>
    /// <param name="output">Its text.</param>
    /// <param name="sampling">How many choices there are, of how many drawn.</param>
    /// <param name="firstIndex">Number of its first choice in the answer.</param>
    /// <param name="keepsTokens">Ids or log-probabilities are reported.</param>
    /// <param name="promptOnly">Nothing is generated; the prompt is only reported.</param>
    public PromptRun(
        int[] ids, string echo, Generation generation, TextGeneration output, SamplingParams sampling, int firstIndex, bool keepsTokens, bool promptOnly)
    {
        _generation = generation;
        _keepsBest = sampling.Width > sampling.N && !promptOnly;
        Ids = ids;
        Echo = echo;
        Output = output;
        Choices = [.. Enumerable.Range(firstIndex, sampling.N).Select(index => new Choice(index, this, keepsTokens, promptOnly))];
    }

    public int[] Ids { get; }

    /// <summary>The prompt as text; empty unless it is echoed.</summary>
    public string Echo { get; }

    /// <summary>The texts of all choices, to be enumerated once.</summary>
    public TextGeneration Output { get; }

    /// <summary>In the order of the answer.</summary>
    public IReadOnlyList<Choice> Choices { get; }

    /// <summary>Log-probabilities of the prompt, once they are known and if they were asked for.</summary>
    public IReadOnlyList<PromptLogprob>? PromptLogprobs { get; set; }

    /// <summary>Prompt tokens that came from the prefix cache.</summary>
    public int CachedCount => _generation.CachedTokenCount;

    /// <summary>Output tokens so far; with best_of those of the choices that were not kept too, once all have ended.</summary>
    public int CompletionCount => _keepsBest ? Output.CompletionTokenCount : Choices.Sum(static choice => choice.CompletionCount);

    /// <summary>What sharing saved, if it was asked for and the run has ended.</summary>
    public SharingReport? Sharing => _generation.Sharing;

    /// <summary>Scores of the choices found by beam search, best first; else empty.</summary>
    public IReadOnlyList<float> BeamScores => _generation.BeamScores;
}
