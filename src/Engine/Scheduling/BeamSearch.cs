using NativeLM.Engine.Execution;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// Beam search of one request: decides which continuations go on, which outputs are finished and when to stop, by the rules of the
/// vectorised search of Hugging Face transformers 5. Each step looks at the best candidates over all beams, by cumulative log-probability.
/// An end token finishes an output only where it is among the first <c>width</c> of them, and the best <c>width</c> that do not end go on.
/// It owns no blocks and no sequences. A step allocates the outputs that it finishes and nothing else.
/// </summary>
/// <param name="width">Beams that go on, and outputs that are kept.</param>
/// <param name="lengthPenalty">Power of the length in a score; above 0 it favours long outputs.</param>
/// <param name="earlyStopping">When the search ends before its limit.</param>
/// <param name="promptCount">Tokens before the output.</param>
/// <param name="maxOutputCount">Output tokens at which every candidate counts as finished.</param>
/// <param name="endIds">Tokens that end an output; they count in its length.</param>
internal sealed class BeamSearch(int width, float lengthPenalty, EarlyStopping earlyStopping, int promptCount, int maxOutputCount, int[] endIds)
{
    private readonly BeamStep[] _next = new BeamStep[width];
    private readonly List<BeamHypothesis> _hypotheses = new(width);
    private int _nextCount;
    private int _length; // output tokens of every candidate of the last step

    /// <summary>Candidates that a step needs: so many that <c>width</c> of them do not end, whatever end tokens there are.</summary>
    public int CandidateCount => CandidatesOf(width, endIds.Length);

    /// <summary>The beams of the next step, best first, after <see cref="Advance"/> has returned false. At least one, at most <c>width</c>.</summary>
    public ReadOnlySpan<BeamStep> Next => _next.AsSpan(0, _nextCount);

    /// <summary>Finished outputs, best score first; among equals the one that finished first. At most <c>width</c>.</summary>
    public IReadOnlyList<BeamHypothesis> Hypotheses => _hypotheses;

    private bool IsFull => _hypotheses.Count == width;

    /// <summary><see cref="CandidateCount"/> of a search of some width with a number of end tokens.</summary>
    public static int CandidatesOf(int width, int endIdCount) => checked(width * Math.Max(2, 1 + endIdCount));

    /// <summary>Takes over the candidates of a step. Returns true when the search is over.</summary>
    /// <param name="candidates">The best <see cref="CandidateCount"/>, best first; token -1 from where there are no more.</param>
    /// <param name="beams">The beams that they continue: the first sequence alone, then those of <see cref="Next"/>.</param>
    public bool Advance(ReadOnlySpan<BeamCandidate> candidates, ReadOnlySpan<Sequence> beams)
    {
        _length++;
        _nextCount = 0;
        for (int rank = 0; rank < candidates.Length && candidates[rank].Token >= 0; rank++)
        {
            ref readonly BeamCandidate candidate = ref candidates[rank];
            bool stops = endIds.AsSpan().Contains(candidate.Token);
            if (!stops && _length < maxOutputCount)
                Continue(candidate);
            else if (rank < width)
                Finish(candidate, beams[candidate.Row], stops);
        }
        return _nextCount == 0 || (IsFull && (earlyStopping == EarlyStopping.Yes || !CanImprove()));
    }

    private void Continue(in BeamCandidate candidate)
    {
        if (_nextCount < width)
            _next[_nextCount++] = new BeamStep(candidate.Row, candidate.Token, candidate.Cumulative, candidate.Logprob);
    }

    /// <summary>Keeps an output if it is among the best <c>width</c> of those finished so far.</summary>
    private void Finish(in BeamCandidate candidate, Sequence beam, bool stops)
    {
        float score = Score(candidate.Cumulative, _length);
        int place = _hypotheses.Count;
        while (place > 0 && _hypotheses[place - 1].Score < score)
            place--;
        if (place == width)
            return;
        if (IsFull)
            _hypotheses.RemoveAt(width - 1);
        _hypotheses.Insert(place, new BeamHypothesis([.. beam.Tokens[promptCount..], candidate.Token], score, stops));
    }

    /// <summary>Whether the best beam could still beat the worst output: at its present length, or at the longest where long outputs gain.</summary>
    private bool CanImprove()
    {
        int length = earlyStopping == EarlyStopping.Never && lengthPenalty > 0 ? maxOutputCount : _length;
        return Score(_next[0].Cumulative, length) > _hypotheses[^1].Score;
    }

    // Finite, so that it can be told: a strongly negative penalty leaves the range of fp32.
    private float Score(float cumulative, int length) => (float)Math.Max(cumulative / Math.Pow(length, lengthPenalty), -float.MaxValue);
}
