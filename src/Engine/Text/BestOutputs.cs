using System.Text;

namespace NativeLM.Engine.Text;

/// <summary>
/// Collects the outputs of a request that draws more than it returns (best_of) and ranks them by cumulative log-probability: the sum over the
/// tokens that are kept and the token that ended the output. What a stop text cut off does not count.
/// </summary>
internal sealed class BestOutputs
{
    private readonly Candidate[] _candidates;

    /// <param name="count">Outputs that are drawn.</param>
    public BestOutputs(int count)
    {
        _candidates = new Candidate[count];
        for (int i = 0; i < count; i++)
            _candidates[i] = new Candidate();
    }

    /// <summary>Takes the next stretch of one of them.</summary>
    public void Add(TextEvent next) => _candidates[next.Index].Add(next);

    /// <summary>The best ones, each as one event, numbered best first. Of equals the one drawn first is better.</summary>
    public IEnumerable<TextEvent> Best(int keep)
    {
        // OrderBy is stable.
        int rank = 0;
        foreach (Candidate candidate in _candidates.OrderByDescending(static candidate => candidate.Logprob).Take(keep))
            yield return candidate.Whole(rank++, _candidates[0].PromptLogprobs);
    }

    private sealed class Candidate
    {
        private readonly StringBuilder _text = new();
        private readonly List<TextToken> _tokens = [];
        private TextEvent _last = new();

        /// <summary>Sum of log-probabilities in double, so that it does not depend on how long the output is.</summary>
        public double Logprob { get; private set; }

        public IReadOnlyList<PromptLogprob>? PromptLogprobs { get; private set; }

        public void Add(TextEvent next)
        {
            _text.Append(next.Text);
            _tokens.AddRange(next.Tokens);
            foreach (TextToken token in next.Tokens)
                Logprob += token.Token.Logprob;
            Logprob += next.EndLogprob;
            PromptLogprobs ??= next.PromptLogprobs;
            _last = next;
        }

        public TextEvent Whole(int rank, IReadOnlyList<PromptLogprob>? promptLogprobs) =>
            _last with { Index = rank, Text = _text.ToString(), Tokens = _tokens, PromptLogprobs = promptLogprobs };
    }
}
