using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The rules of beam search, one by one, on candidates written by hand, and on random ones against a search that sorts everything.</summary>
public sealed class BeamSearchTests
{
    private const int End = 9;

    private static readonly int[] Prompt = [100, 101];

    [Theory]
    [InlineData(4, 0, 8)]
    [InlineData(4, 1, 8)]
    [InlineData(4, 2, 12)]
    [InlineData(1, 3, 4)]
    public void Candidates_are_enough_for_every_beam_to_go_on_whatever_ends(int width, int ends, int count)
    {
        Assert.Equal(count, BeamSearch.CandidatesOf(width, ends));
        Assert.Equal(count, new BeamSearch(width, 1, EarlyStopping.No, 2, 8, [.. Enumerable.Range(0, ends)]).CandidateCount);
    }

    [Fact]
    public void The_best_that_do_not_end_go_on_in_order()
    {
        Search search = new(width: 2);
        Assert.False(search.Advance((0, 5, -1), (0, End, -2), (0, 6, -3), (0, 7, -4)));
        Assert.Equal([new BeamStep(0, 5, -1, -1), new BeamStep(0, 6, -3, -3)], search.Beams.Next);
        Assert.False(search.Advance((1, 1, -4), (1, 2, -5), (0, 3, -6), (0, 4, -7)));
        Assert.Equal([(1, 1), (1, 2)], search.Beams.Next.ToArray().Select(step => (step.Parent, step.Token)));
    }

    [Fact]
    public void An_end_token_finishes_an_output_only_among_the_first_candidates()
    {
        Search search = new(width: 2);
        Assert.False(search.Advance((0, 5, -1), (0, 6, -2), (0, End, -3), (0, 7, -4)));
        Assert.Empty(search.Beams.Hypotheses);
        Assert.False(search.Advance((0, End, -2), (1, 6, -3), (1, 7, -4), (0, 8, -5)));
        BeamHypothesis only = Assert.Single(search.Beams.Hypotheses);
        Assert.Equal((true, -1f), (only.IsStopped, only.Score)); // two tokens, the end token counted
        Assert.Equal([5, End], only.Tokens);
        Assert.Equal([6, 7], search.Beams.Next.ToArray().Select(step => step.Token));
    }

    [Fact]
    public void At_the_longest_length_the_first_candidates_are_finished_whatever_they_are()
    {
        Search search = new(width: 2, maxOutput: 1);
        Assert.True(search.Advance((0, 5, -1), (0, End, -2), (0, 6, -3), (0, 7, -4)));
        Assert.Equal([(5, false), (End, true)], search.Beams.Hypotheses.Select(beam => (beam.Tokens[0], beam.IsStopped)));
    }

    [Theory]
    [InlineData(0f, -6f)]
    [InlineData(1f, -3f)]
    [InlineData(2f, -1.5f)]
    [InlineData(-1f, -12f)]
    public void A_score_is_the_log_probability_over_the_length_to_the_penalty(float penalty, float score)
    {
        Search search = new(width: 1, maxOutput: 2, penalty: penalty);
        Assert.False(search.Advance((0, 5, -1), (0, 6, -2)));
        Assert.True(search.Advance((0, 7, -6), (0, 8, -7)));
        Assert.Equal(score, Assert.Single(search.Beams.Hypotheses).Score);
    }

    [Theory]
    [InlineData(-10f)]
    [InlineData(10f)]
    public void Scores_stay_finite_at_the_limits_of_the_penalty(float penalty)
    {
        Search search = new(width: 1, maxOutput: 20_000, penalty: penalty);
        for (int length = 1; length < 20_000; length++)
            Assert.False(search.Advance((0, 5, -length), (0, 6, -length - 1)));
        Assert.True(search.Advance((0, 5, -20_000), (0, 6, -20_001)));
        Assert.True(float.IsFinite(Assert.Single(search.Beams.Hypotheses).Score));
    }

    [Fact]
    public void A_worse_output_gives_its_place_to_a_better_one_and_equals_keep_theirs()
    {
        Search search = new(width: 2, maxOutput: 9, penalty: 0);
        Assert.False(search.Advance((0, 5, -1), (0, End, -5), (0, 6, -6), (0, 7, -7)));
        Assert.False(search.Advance((0, 5, -2), (1, End, -7), (0, 6, -8), (0, 7, -9)));
        Assert.Equal([-5f, -7f], search.Beams.Hypotheses.Select(beam => beam.Score));
        Assert.False(search.Advance((0, End, -3), (0, 1, -4), (0, 2, -8), (0, 3, -9)));
        Assert.Equal([-3f, -5f], search.Beams.Hypotheses.Select(beam => beam.Score));
        Assert.False(search.Advance((0, 1, -4.5f), (0, End, -5), (0, 2, -8), (0, 3, -9)));
        Assert.Equal([3, 1], search.Beams.Hypotheses.Select(beam => beam.Tokens.Length)); // the older of two equals stays
    }

    // Two outputs are finished after the second step: the worse has -6 / 2² = -1.5. The best beam has -4: -1 at its length, so it could win;
    // with a penalty of 0, -6 against -7 could not.
    [Theory]
    [InlineData(EarlyStopping.No, 2f, -4f, false)]
    [InlineData(EarlyStopping.No, 2f, -6f, true)]
    [InlineData(EarlyStopping.No, 2f, -6.1f, true)]
    [InlineData(EarlyStopping.Yes, 2f, -4f, true)]
    [InlineData(EarlyStopping.Never, 2f, -4f, false)]
    [InlineData(EarlyStopping.Never, 2f, -90f, false)] // -90 / 8² = -1.4
    [InlineData(EarlyStopping.Never, 2f, -99f, true)] // -99 / 8² = -1.55
    [InlineData(EarlyStopping.Never, -1f, -4f, false)] // short outputs gain: the present length is the best one
    [InlineData(EarlyStopping.Never, -1f, -7f, true)]
    [InlineData(EarlyStopping.Never, 0f, -7f, true)]
    public void The_search_stops_when_its_rule_says_so(EarlyStopping early, float penalty, float best, bool stops)
    {
        Search search = new(width: 2, maxOutput: 8, penalty: penalty, early: early);
        Assert.False(search.Advance((0, 5, -1), (0, 6, -2), (0, 7, -3), (0, 8, -4)));
        Assert.Equal(stops, search.Advance((0, End, -5), (1, End, -6), (0, 7, best), (1, 8, best - 1)));
    }

    [Fact]
    public void No_rule_stops_it_while_places_are_open()
    {
        foreach (EarlyStopping early in Enum.GetValues<EarlyStopping>())
        {
            Search search = new(width: 2, early: early);
            Assert.False(search.Advance((0, End, -1), (0, 5, -50), (0, 6, -60), (0, 7, -70)));
        }
    }

    [Fact]
    public void It_is_over_when_no_candidate_goes_on()
    {
        Search all = new(width: 2);
        Assert.True(all.Advance((0, End, -1), (0, -1, 0), (0, -1, 0), (0, -1, 0)));
        Assert.Equal([End], Assert.Single(all.Beams.Hypotheses).Tokens);
        Search none = new(width: 2);
        Assert.True(none.Advance((0, -1, 0), (0, -1, 0), (0, -1, 0), (0, -1, 0)));
        Assert.Empty(none.Beams.Hypotheses);
    }

    [Fact]
    public void Fewer_candidates_than_the_width_give_fewer_beams()
    {
        Search search = new(width: 4);
        Assert.False(search.Advance((0, 5, -1), (0, 6, -2), (0, -1, 0), (0, -1, 0)));
        Assert.Equal(2, search.Beams.Next.Length);
        Assert.False(search.Advance((1, 5, -3), (0, -1, 0), (0, -1, 0), (0, -1, 0)));
        Assert.Equal([new BeamStep(1, 5, -3, -1)], search.Beams.Next);
    }

    [Fact]
    public void A_step_that_finishes_nothing_allocates_nothing()
    {
        BeamSearch search = new(8, 1, EarlyStopping.No, 2, 1000, [End]);
        BeamCandidate[] candidates = [.. Enumerable.Range(0, 16).Select(i => new BeamCandidate(0, 20 + i, -i, -1))];
        Sequence[] beams = [Search.NewSequence()];
        Assert.False(search.Advance(candidates, beams));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 0; step < 100; step++)
            Assert.False(search.Advance(candidates, beams));
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    public static MatrixTheoryData<int, EarlyStopping, float> Searches =>
        new([1, 2, 3, 8, 32], Enum.GetValues<EarlyStopping>(), [-1f, 0f, 0.6f, 1f, 2.5f]);

    [Theory]
    [MemberData(nameof(Searches))]
    public void Random_searches_agree_with_one_that_scores_and_sorts_everything(int width, EarlyStopping early, float penalty)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            Random random = new(seed);
            int[] ends = [.. Enumerable.Range(0, random.Next(4)).Select(i => 3 * i)];
            int maxOutput = random.Next(1, 12);
            BeamSearch search = new(width, penalty, early, Prompt.Length, maxOutput, ends);
            SortingSearch oracle = new(width, penalty, early, maxOutput, ends);
            Search found = new(search);
            bool done = false;
            for (int step = 0; !done; step++)
            {
                BeamCandidate[] candidates = Candidates(random, found.Running, search.CandidateCount, vocabulary: 40);
                done = oracle.Advance(candidates);
                Assert.Equal(done, found.Advance(candidates));
                if (!done)
                    Assert.Equal(oracle.Running, found.Running.Select(beam => (string.Join(' ', beam.Tokens[2..].ToArray()), beam.Cumulative)));
            }
            Assert.Equal(oracle.Finished, search.Hypotheses.Select(beam => (string.Join(' ', beam.Tokens), beam.Score)));
        }
    }

    /// <summary>What a step reports for beams over a small vocabulary with random log-probabilities, some tokens impossible.</summary>
    private static BeamCandidate[] Candidates(Random random, List<(int[] Tokens, float Cumulative)> running, int count, int vocabulary)
    {
        List<BeamCandidate> all = [];
        for (int row = 0; row < running.Count; row++)
            for (int token = 0; token < vocabulary; token++)
            {
                float logprob = -random.Next(1, 2000) / 128f; // coarse, so that ties occur
                if (random.Next(8) > 0)
                    all.Add(new BeamCandidate(row, token, running[row].Cumulative + logprob, logprob));
            }
        BeamCandidate[] best = [.. all.OrderByDescending(candidate => candidate.Cumulative).Take(count)];
        return [.. best, .. Enumerable.Repeat(new BeamCandidate(0, -1, float.NegativeInfinity, 0), count - best.Length)];
    }

    /// <summary>Drives a search: keeps the tokens of its beams, as the scheduler does with sequences.</summary>
    private sealed class Search(BeamSearch beams)
    {
        public Search(int width, int maxOutput = 16, float penalty = 1, EarlyStopping early = EarlyStopping.No)
            : this(new BeamSearch(width, penalty, early, Prompt.Length, maxOutput, [End]))
        {
        }

        public BeamSearch Beams { get; } = beams;

        public List<(int[] Tokens, float Cumulative)> Running { get; private set; } = [(Prompt, 0)];

        public static Sequence NewSequence(params int[] output)
        {
            Sequence sequence = new(0, Prompt, new SamplingParams(), 1, 64);
            foreach (int token in output)
                sequence.Append(token);
            return sequence;
        }

        public bool Advance(params (int Row, int Token, float Cumulative)[] candidates) =>
            Advance([.. candidates.Select(c => new BeamCandidate(
                c.Row, c.Token, c.Cumulative, c.Token < 0 ? 0 : c.Cumulative - Running[c.Row].Cumulative))]);

        public bool Advance(BeamCandidate[] candidates)
        {
            bool done = Beams.Advance(candidates, [.. Running.Select(beam => NewSequence(beam.Tokens[Prompt.Length..]))]);
            List<(int[] Tokens, float Cumulative)> parents = Running;
            Running = [.. Beams.Next.ToArray().Select(step => ((int[])[.. parents[step.Parent].Tokens, step.Token], step.Cumulative))];
            return done;
        }
    }

    /// <summary>The same rules written as whole-list queries: every finished output is kept and ranked at the end of each step.</summary>
    private sealed class SortingSearch(int width, float penalty, EarlyStopping early, int maxOutput, int[] ends)
    {
        private int _length;

        public List<(string Text, float Cumulative)> Running { get; private set; } = [("", 0)];

        public List<(string Text, float Score)> Finished { get; private set; } = [];

        public bool Advance(BeamCandidate[] candidates)
        {
            _length++;
            var all = candidates.Where(c => c.Token >= 0)
                .Select((c, rank) => (
                    Rank: rank, Text: $"{Running[c.Row].Text} {c.Token}".Trim(), c.Cumulative, Ends: ends.Contains(c.Token) || _length == maxOutput))
                .ToList();
            Finished = [.. Finished.Concat(all.Where(c => c.Ends && c.Rank < width).Select(c => (c.Text, Score(c.Cumulative, _length))))
                .OrderByDescending(beam => beam.Item2).Take(width)];
            Running = [.. all.Where(c => !c.Ends).Select(c => (c.Text, c.Cumulative)).Take(width)];
            if (Running.Count == 0)
                return true;
            if (Finished.Count < width)
                return false;
            int length = early == EarlyStopping.Never && penalty > 0 ? maxOutput : _length;
            return early == EarlyStopping.Yes || Score(Running[0].Cumulative, length) <= Finished.Min(beam => beam.Score);
        }

        private float Score(float cumulative, int length) => (float)(cumulative / Math.Pow(length, penalty));
    }
}
