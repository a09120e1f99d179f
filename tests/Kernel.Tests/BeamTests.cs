using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Beam candidates: the best of cumulative score plus log softmax over all beams of a request, as Hugging Face's beam search picks them.</summary>
public sealed unsafe class BeamTests
{
    public static IEnumerable<TheoryDataRow<string>> Each => Targets.Each;

    [Theory, MemberData(nameof(Each))]
    public void Candidates_are_the_best_of_log_softmax_plus_cumulative(string target)
    {
        using Rig rig = new(target);
        foreach ((int vocabulary, int width) in new[] { (5, 2), (64, 1), (257, 5), (1001, 4), (5003, 8) })
        {
            int[] sizes = [width, 1, width + 1];
            float[][] logits = [.. Enumerable.Range(0, sizes.Sum()).Select(r => Numbers.Normal(100 + r, vocabulary, DType.F32, 1 + r % 3))];
            float[] cumulative = [.. Enumerable.Range(0, sizes.Sum()).Select(r => -0.37f * r)];
            (BeamCandidate[][] groups, int[] flags) = Run(rig, logits, cumulative, sizes, 2 * width);
            int first = 0;
            for (int g = 0; g < sizes.Length; g++)
            {
                Assert.Equal(0, flags[g]);
                Check(Best(logits, cumulative, first, sizes[g]), groups[g]);
                first += sizes[g];
            }
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void A_search_of_several_steps_finds_the_beams_of_the_reference(string target)
    {
        using Rig rig = new(target);
        const int Vocabulary = 300, Width = 4, Steps = 6;
        // A model whose next logits are a function of the tokens so far.
        static float[] Logits(string text) => Numbers.Normal(text.Aggregate(17, (hash, c) => unchecked(hash * 31 + c)), Vocabulary, DType.F32, 2);
        List<(string Text, float Score)> found = [("", 0)];
        List<(string Text, double Score)> wanted = [("", 0)];
        for (int step = 0; step < Steps; step++)
        {
            float[][] logits = [.. found.Select(b => Logits(b.Text))];
            BeamCandidate[] candidates = Run(rig, logits, [.. found.Select(b => b.Score)], [found.Count], 2 * Width).Groups[0];
            found = [.. candidates.Take(Width).Select(c => ($"{found[c.Row].Text} {c.Token}", c.Score))];
            wanted = [.. wanted
                .SelectMany(b => Reference.Softmax([.. Logits(b.Text).Select(v => (double)v)]).Select((p, token) => (Text: $"{b.Text} {token}", Score: b.Score + Math.Log(p))))
                .OrderByDescending(b => b.Score).Take(Width)];
            Assert.Equal(wanted.Select(b => b.Text), found.Select(b => b.Text));
            for (int b = 0; b < Width; b++)
                Assert.Equal(wanted[b].Score, found[b].Score, 1e-4);
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void A_beam_that_is_off_and_tokens_that_are_masked_never_come_up(string target)
    {
        using Rig rig = new(target);
        float[] masked = [.. Enumerable.Repeat(float.NegativeInfinity, 90)];
        (masked[3], masked[89]) = (1, 2);
        float[] bad = [.. Enumerable.Repeat(float.NaN, 90)];
        (BeamCandidate[][] groups, int[] flags) = Run(rig, [bad, masked, masked, bad], [float.NegativeInfinity, -1, -2, 0], [2, 1, 1], 5);
        Assert.Equal([0, 0, (int)SampleFlags.Nonfinite], flags);
        Assert.Equal([(1, 89), (1, 3), (-1, -1), (-1, -1), (-1, -1)], groups[0].Select(c => (c.Row, c.Token)));
        Assert.Equal([(2, 89), (2, 3), (-1, -1), (-1, -1), (-1, -1)], groups[1].Select(c => (c.Row, c.Token)));
        Assert.All(groups[2], c => Assert.Equal((-1, -1), (c.Row, c.Token)));
    }

    private static (BeamCandidate[][] Groups, int[] Flags) Run(Rig rig, float[][] logits, float[] cumulative, int[] sizes, int count)
    {
        int vocabulary = logits[0].Length, stride = vocabulary + 1, groups = sizes.Length;
        float[] padded = [.. Enumerable.Repeat(float.NaN, logits.Length * stride)];
        for (int r = 0; r < logits.Length; r++)
            logits[r].CopyTo(padded, r * stride);
        int[] starts = new int[groups + 1];
        for (int g = 0; g < groups; g++)
            starts[g + 1] = starts[g] + sizes[g];
        Tensor candidates = rig.Tensor(DType.I32, groups * count * 4), flags = rig.Tensor(DType.I32, groups);
        BeamTopkArgs args = new()
        {
            GroupsMax = groups,
            Candidates = (BeamCandidate*)candidates.Pointer,
            Flags = (int*)flags.Pointer,
            Logits = rig.Floats(padded),
            RowStarts = rig.Integers(starts),
            Cumulative = rig.Floats(cumulative),
            LogitsStride = stride,
            RowsMax = logits.Length,
            Vocabulary = vocabulary,
            Count = count,
        };
        args.WorkspaceBytes = rig.Library.BeamTopkWorkspaceBytes(args);
        args.Workspace = rig.Memory(args.WorkspaceBytes);
        rig.Ops.BeamTopk(args);
        return ([.. candidates.Read<BeamCandidate>().Chunk(count)], flags.Read<int>());
    }

    private static List<(int Row, int Token, double Score, double LogProbability)> Best(float[][] logits, float[] cumulative, int first, int size) =>
        [.. Enumerable.Range(first, size)
            .SelectMany(r => Reference.Softmax([.. logits[r].Select(v => (double)v)]).Select((p, token) => (r, token, cumulative[r] + Math.Log(p), Math.Log(p))))
            .OrderByDescending(c => c.Item3)];

    private static void Check(List<(int Row, int Token, double Score, double LogProbability)> want, BeamCandidate[] got)
    {
        for (int i = 0; i < got.Length; i++)
        {
            if (i >= want.Count)
            {
                Assert.Equal((-1, -1), (got[i].Row, got[i].Token));
                continue;
            }
            Assert.Equal(want[i].Score, got[i].Score, 1e-5 * (1 + Math.Abs(want[i].Score)));
            // Scores closer than fp32 tells apart may change places.
            (int Row, int Token, double Score, double LogProbability) same = want.Find(c => c.Row == got[i].Row && c.Token == got[i].Token);
            Assert.Equal(same.Score, want[i].Score, 1e-5 * (1 + Math.Abs(want[i].Score)));
            Assert.Equal(same.LogProbability, got[i].Logprob, 1e-5 * (1 + Math.Abs(same.LogProbability)));
        }
        Assert.Distinct(got.Take(want.Count).Select(c => (c.Row, c.Token)));
    }
}
