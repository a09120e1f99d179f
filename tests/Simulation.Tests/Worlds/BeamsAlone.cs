using NativeLM.Engine;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// A beam search alone, with plain lists, by the rules of transformers 5 (GenerationMixin._beam_search): of the best candidates those among
/// the first `width` that end become hypotheses, the best `width` that do not end go on.
/// </summary>
internal sealed class BeamsAlone
{
    private readonly int _width;
    private readonly int _outputMax;
    private readonly int _vocabulary;
    private readonly int[] _endIds;
    private readonly SamplingParams _sampling;
    private int _length; // output tokens so far

    public BeamsAlone(ReadOnlySpan<int> prompt, int outputMax, int[] endIds, SamplingParams sampling, int vocabulary)
    {
        (_width, _outputMax, _endIds, _sampling, _vocabulary) = (sampling.Width, outputMax, endIds, sampling, vocabulary);
        ToyContext context = default;
        foreach (int token in prompt)
            context.Append(token);
        Running = [new Beam(prompt.ToArray(), context, 0)];
    }

    /// <summary>Beams that go on, best first.</summary>
    public List<Beam> Running { get; private set; }

    /// <summary>Hypotheses with their scores, best first.</summary>
    public List<(int[] Tokens, float Score)> Finished { get; private set; } = [];

    /// <summary>The search is over.</summary>
    public bool IsOver { get; private set; }

    /// <summary>One step of the search.</summary>
    public void Advance()
    {
        int count = Math.Max(2, 1 + _endIds.Length) * _width;
        Beam[] best = [.. Running.SelectMany(beam => Enumerable.Range(0, Math.Min(count, _vocabulary)).Select(beam.Candidate(_vocabulary)))
            .OrderByDescending(beam => beam.Cumulative).Take(count)];
        _length++;
        bool Ends(Beam beam) => _endIds.Contains(beam.Tokens[^1]) || _length == _outputMax;
        bool isClosed = Finished.Count == _width && _sampling.EarlyStopping == EarlyStopping.Yes;
        if (!isClosed)
        {
            IEnumerable<(int[], float)> ended = best.Take(_width).Where(Ends).Select(beam => (beam.Tokens, Score(beam, _length)));
            Finished = [.. Finished.Concat(ended).OrderByDescending(hypothesis => hypothesis.Item2).Take(_width)];
        }
        Running = [.. best.Where(beam => !Ends(beam)).Take(_width)];
        IsOver = Running.Count == 0 || !CanImprove() || (Finished.Count == _width && _sampling.EarlyStopping == EarlyStopping.Yes);
    }

    private bool CanImprove()
    {
        if (Finished.Count < _width)
            return true;
        int length = _sampling.EarlyStopping == EarlyStopping.Never && _sampling.LengthPenalty > 0 ? _outputMax : _length;
        return Score(Running[0], length) > Finished[^1].Score;
    }

    private float Score(Beam beam, int length) => (float)(beam.Cumulative / Math.Pow(length, _sampling.LengthPenalty));

    /// <summary>One beam: its tokens with the prompt, and the sum of its log-probabilities.</summary>
    internal sealed record Beam(int[] Tokens, ToyContext Context, float Cumulative)
    {
        public Func<int, Beam> Candidate(int vocabulary) => k =>
        {
            (int token, float logprob) = ToyModel.Candidate(Context.Attended, k, vocabulary);
            ToyContext context = Context;
            context.Append(token);
            return new Beam([.. Tokens, token], context, Cumulative + logprob);
        };
    }
}
