using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed class SampleTests
{
    public static IEnumerable<TheoryDataRow<string>> Each => Targets.Each;

    [Theory, MemberData(nameof(Each))]
    public void Greedy_takes_the_largest_logit_and_of_equals_the_lowest_id(string target)
    {
        using Rig rig = new(target);
        foreach (int vocabulary in new[] { 1, 2, 31, 33, 100, 1000, 5003 })
        {
            float[] logits = [.. Numbers.Normal(vocabulary, vocabulary, DType.F32)];
            int best = Array.IndexOf(logits, logits.Max()), second = (best + vocabulary / 2) % vocabulary;
            logits[second] = logits[best];
            SampleResult result = SamplerBatch.Run(rig, Row(logits, p => p with { Temperature = 0 })).Results[0];
            Assert.Equal(Math.Min(best, second), result.Token);
            Assert.Equal(0, (int)result.Flags);
            Assert.Equal(1, result.Rank);
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void Log_probabilities_ranks_and_alternatives_are_those_of_the_raw_logits(string target)
    {
        using Rig rig = new(target);
        foreach (int vocabulary in new[] { 7, 64, 1001 })
        {
            float[] logits = Numbers.Normal(vocabulary, vocabulary, DType.F32, 3);
            double[] probability = Reference.Softmax([.. logits.Select(l => (double)l)]);
            int[] order = [.. Enumerable.Range(0, vocabulary).OrderByDescending(i => logits[i]).ThenBy(i => i)];
            for (int rank = 1; rank <= vocabulary; rank += 1 + vocabulary / 4)
            {
                int forced = order[rank - 1];
                SamplerAnswer answer = SamplerBatch.Run(rig,
                    Row(logits, p => p with { ForcedToken = forced, Temperature = 0.3f, TopK = 1, TopLogprobs = SamplerBatch.TopMax }));
                Assert.Equal(forced, answer.Results[0].Token);
                Assert.Equal(rank, answer.Results[0].Rank);
                Assert.Equal(Math.Log(probability[forced]), answer.Results[0].Logprob, 1e-4);
                Assert.Equal(order[..SamplerBatch.TopMax], answer.TopIds);
                for (int i = 0; i < SamplerBatch.TopMax; i++)
                    Assert.Equal(Math.Log(probability[order[i]]), answer.TopValues[i], 1e-4);
            }
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void Filters_leave_what_the_formulas_leave(string target)
    {
        using Rig rig = new(target);
        Random random = new(9);
        List<SamplerRow> rows = [];
        for (int i = 0; i < 200; i++)
        {
            float[] logits = Numbers.Normal(i, 257, DType.F32, 1 + i % 4);
            int[] prompt = [.. Enumerable.Range(0, i % 3 * 5).Select(_ => random.Next(257))];
            int[] output = [.. Enumerable.Range(0, i % 5 * 4).Select(_ => random.Next(257))];
            rows.Add(Row(logits, p => p with
            {
                Seed = (ulong)i,
                Position = i,
                Temperature = 0.25f + i % 7 * 0.25f,
                TopK = i % 6 * 13,
                TopP = i % 4 == 0 ? 1 : 0.3f + i % 4 * 0.2f,
                MinP = i % 5 == 0 ? 0.03f : 0,
                RepetitionPenalty = i % 3 == 0 ? 1.4f : 1,
                PresencePenalty = i % 4 * 0.3f,
                FrequencyPenalty = i % 5 * 0.2f,
            }) with
            {
                Prompt = prompt,
                Output = output,
                Allowed = i % 8 == 1 ? [.. Enumerable.Range(0, 257).Where(t => t % 3 != 0)] : null,
                Bias = i % 9 == 2 ? [(3, 4.5f), (200, -8), (9999, 100), (-1, 100)] : [],
            });
        }
        SamplerAnswer answer = SamplerBatch.Run(rig, [.. rows]);
        for (int r = 0; r < rows.Count; r++)
        {
            double[] want = SamplingReference.Process(rows[r]);
            float[] got = answer.Processed[(r * 257)..((r + 1) * 257)];
            SamplingReference.CheckSameSupport(want, got, $"row {r}");
            Assert.Contains(answer.Results[r].Token, Enumerable.Range(0, 257).Where(t => !float.IsNegativeInfinity(got[t])));
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void Draws_follow_the_filtered_distribution(string target)
    {
        using Rig rig = new(target);
        float[] logits = Numbers.Normal(4, 12, DType.F32, 1.5);
        const int Draws = 20_000;
        SamplerRow[] rows = [.. Enumerable.Range(0, Draws).Select(i =>
            Row(logits, p => p with { Seed = 77 + (ulong)(i / 100), Position = i % 100, Temperature = 0.8f, TopK = 8 }))];
        double[] probability = Reference.Softmax(SamplingReference.Process(rows[0]));
        int[] seen = new int[12];
        foreach (SampleResult result in SamplerBatch.Run(rig, rows).Results)
            seen[result.Token]++;
        double chiSquare = 0;
        for (int t = 0; t < 12; t++)
        {
            double expected = probability[t] * Draws;
            if (expected == 0)
                Assert.Equal(0, seen[t]);
            else
                chiSquare += (seen[t] - expected) * (seen[t] - expected) / expected;
        }
        Assert.True(chiSquare < 29.9, $"chi-square {chiSquare:f1} of 7 degrees of freedom: a fair draw exceeds 29.9 once in 10,000 seeds");
    }

    [Theory, MemberData(nameof(Each))]
    public void A_draw_depends_on_seed_and_position_only(string target)
    {
        SamplerRow[] rows = [.. Enumerable.Range(0, 40).Select(i =>
            Row(Numbers.Normal(i, 999, DType.F32, 2), p => p with { Seed = ulong.MaxValue - (ulong)i, Position = 3 * i, Temperature = 1.1f, TopP = 0.9f, MinP = 0.01f }))];
        SampleResult[]? expected = null;
        foreach (int threads in Targets.ThreadCounts(target))
        {
            using Rig rig = new(target, threads);
            SamplerAnswer all = SamplerBatch.Run(rig, rows);
            expected ??= all.Results;
            Assert.Equal(expected, all.Results);
            for (int r = 0; r < rows.Length; r += 7)
                Assert.Equal(expected[r], SamplerBatch.Run(rig, rows[r]).Results[0]);
            Assert.Equal(expected.Reverse(), SamplerBatch.Run(rig, [.. rows.Reverse()]).Results);
        }
    }

    [Theory, MemberData(nameof(Each))]
    public void Every_backend_draws_the_same_token(string target)
    {
        SamplerRow[] rows = [.. Enumerable.Range(0, 120).Select(i =>
            Row(Numbers.Normal(i, 5003, DType.F32, 0.5 + i % 5), p => p with
            {
                Seed = 0x9e3779b97f4a7c15UL * (ulong)i,
                Position = i * i,
                Temperature = 0.5f + i % 4 * 0.5f,
                TopK = i % 3 == 1 ? 50 : 0,
                TopP = i % 4 == 2 ? 0.8f : 1,
                MinP = i % 5 == 3 ? 0.02f : 0,
            }))];
        using Rig rig = new(target), processor = new("cpu/scalar");
        Assert.Equal(SamplerBatch.Run(processor, rows).Results.Select(r => r.Token), SamplerBatch.Run(rig, rows).Results.Select(r => r.Token));
    }

    [Theory, MemberData(nameof(Each))]
    public void The_drawn_token_is_counted(string target)
    {
        using Rig rig = new(target);
        SamplerRow row = Row(Numbers.Normal(1, 50, DType.F32), p => p with { Temperature = 0 }) with { Prompt = [1, 2], Output = [4, 4, 9] };
        SamplerAnswer answer = SamplerBatch.Run(rig, row);
        ushort[] want = new ushort[50];
        (want[4], want[9]) = (2, 1);
        want[answer.Results[0].Token]++;
        Assert.Equal(want, answer.Counts);
    }

    [Theory, MemberData(nameof(Each))]
    public void Bad_rows_are_flagged_and_their_neighbours_go_on(string target)
    {
        using Rig rig = new(target);
        float[] good = Numbers.Normal(2, 70, DType.F32), nan = [.. good], positive = [.. good], negative = [.. good];
        nan[69] = float.NaN;
        positive[3] = float.PositiveInfinity;
        negative[5] = float.NegativeInfinity;
        SamplerAnswer answer = SamplerBatch.Run(rig, Row(nan), Row(good, p => p with { Temperature = 0 }), Row(positive),
            Row(negative) with { Allowed = [] }, Row(negative, p => p with { Temperature = 0 }), Row(negative) with { Allowed = [5] });
        SampleFlags[] flags = [.. answer.Results.Select(r => r.Flags)];
        Assert.Equal([SampleFlags.Nonfinite, 0, SampleFlags.Nonfinite, SampleFlags.NothingAllowed, 0, SampleFlags.NothingAllowed], flags);
        Assert.All(answer.Results.Where(r => r.Flags != 0), r => Assert.Equal(-1, r.Token));
        Assert.All(answer.Results.Where(r => r.Flags == 0), r => Assert.InRange(r.Token, 0, 69));
    }

    internal static SamplerRow Row(float[] logits, Func<SampleRow, SampleRow>? change = null) =>
        new() { Logits = logits, Parameters = change is null ? SamplerRow.Neutral : change(SamplerRow.Neutral) };
}
