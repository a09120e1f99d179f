using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed class PagedAttentionTests
{
    private static readonly Heads[] Shapes = [new(1, 1, 8), new(4, 2, 16), new(3, 1, 20), new(6, 2, 32), new(8, 8, 64), new(5, 1, 80), new(2, 1, 128), new(2, 2, 256)];

    public static IEnumerable<TheoryDataRow<string, DType>> EachType => Targets.EachType;

    public static IEnumerable<TheoryDataRow<string, DType, string>> EachOption =>
        Targets.With(Targets.FloatTypes, ["window", "softcap", "alibi", "sinks", "split 64", "split 128"]);

    [Theory, MemberData(nameof(EachType))]
    public void A_mixed_batch_attends_to_exactly_the_keys_before_each_row(string target, DType type)
    {
        using Rig rig = new(target);
        foreach (Heads heads in Shapes)
            foreach (int blockSize in new[] { 8, 16, 48 })
            {
                PagedBatch batch = new(rig, type, heads, blockSize, [1, 17, 64, 90]) { Options = new() { Scale = 1 / MathF.Sqrt(heads.Dim) } };
                batch.Step(new Chunk(0, 0, 1), new Chunk(1, 0, 16), new Chunk(2, 0, 20), new Chunk(3, 0, 89));
                batch.Step(new Chunk(2, 20, 44), new Chunk(1, 16, 1), new Chunk(3, 89, 1));
                CheckAll(batch, $"{heads} blocks of {blockSize}");
            }
    }

    [Theory, MemberData(nameof(EachOption))]
    public void Every_option_follows_its_formula(string target, DType type, string option)
    {
        using Rig rig = new(target);
        AttentionOptions options = new() { Scale = 0.2f };
        options = option switch
        {
            "window" => options with { Window = 37 },
            "softcap" => options with { Softcap = 2 },
            "alibi" => options with { AlibiSlopes = [0.5f, 0.25f, 0.125f, 0.0625f] },
            "sinks" => options with { Sinks = [-1, 0, 2, 5] },
            "split 64" => options with { SplitKeys = 64 },
            _ => options with { SplitKeys = 128 },
        };
        PagedBatch batch = new(rig, type, new Heads(4, 2, 32), 16, [300, 70]) { Options = options };
        batch.Step(new Chunk(0, 0, 290), new Chunk(1, 0, 69));
        for (int i = 0; i < 10; i++)
            batch.Step([new Chunk(0, 290 + i, 1), .. i == 0 ? [new Chunk(1, 69, 1)] : Array.Empty<Chunk>()]);
        CheckAll(batch, option);
    }

    [Theory, MemberData(nameof(EachType))]
    public void Long_contexts_are_merged_over_their_splits(string target, DType type)
    {
        using Rig rig = new(target);
        PagedBatch batch = new(rig, type, new Heads(2, 1, 16), 32, [1100]) { Options = new() { Scale = 0.5f } };
        batch.Step(new Chunk(0, 0, 1099));
        batch.Step(new Chunk(0, 1099, 1));
        CheckAll(batch, "1,100 keys");
    }

    [Theory, MemberData(nameof(EachType))]
    public void Attention_to_a_single_key_returns_its_value(string target, DType type)
    {
        using Rig rig = new(target);
        PagedBatch batch = new(rig, type, new Heads(3, 1, 24), 8, [1]);
        batch.Step(new Chunk(0, 0, 1));
        float[] value = batch.Qkv[0][^24..];
        Assert.Equal([.. value, .. value, .. value], Decode(batch, 0));
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_sequence_has_the_same_bits_whatever_its_chunks_neighbours_and_order(string target, DType type)
    {
        using Rig rig = new(target);
        int[] lengths = [7, 130, 260];
        Heads heads = new(6, 2, 32);
        PagedBatch whole = new(rig, type, heads, 16, lengths);
        for (int s = 0; s < lengths.Length; s++)
            whole.Step(new Chunk(s, 0, lengths[s]));

        foreach (int chunk in new[] { 1, 3, 16, 64, 100 })
        {
            PagedBatch chunked = new(rig, type, heads, 16, lengths, seed: chunk);
            Random order = new(chunk);
            for (int start = 0; start < lengths.Max(); start += chunk)
            {
                Chunk[] step = [.. lengths.Select((l, s) => new Chunk(s, start, Math.Min(chunk, l - start))).Where(c => c.Count > 0)];
                order.Shuffle(step);
                chunked.Step(step);
            }
            for (int s = 0; s < lengths.Length; s++)
                Assert.True(whole.Outputs[s].AsSpan().SequenceEqual(chunked.Outputs[s]), $"sequence {s} differs in chunks of {chunk}");
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_sequence_has_the_same_bits_for_every_block_size_and_thread_count(string target, DType type)
    {
        int[] lengths = [33, 200];
        byte[][]? expected = null;
        foreach (int threads in Targets.ThreadCounts(target))
            foreach (int blockSize in new[] { 8, 16, 32, 64 })
            {
                using Rig rig = new(target, threads);
                PagedBatch batch = new(rig, type, new Heads(4, 1, 64), blockSize, lengths, seed: blockSize + threads);
                batch.Step(new Chunk(0, 0, 32), new Chunk(1, 0, 199));
                batch.Step(new Chunk(1, 199, 1), new Chunk(0, 32, 1));
                expected ??= batch.Outputs;
                for (int s = 0; s < lengths.Length; s++)
                    Assert.True(expected[s].AsSpan().SequenceEqual(batch.Outputs[s]), $"sequence {s}: blocks of {blockSize}, {threads} threads");
            }
    }

    [Theory, MemberData(nameof(EachType))]
    public void Rows_padded_with_slot_minus_one_touch_neither_cache_nor_output(string target, DType type)
    {
        using Rig rig = new(target);
        PagedBatch batch = new(rig, type, new Heads(2, 1, 16), 8, [8]);
        byte[] before = batch.ReadPool();
        Tensor qkv = rig.Tensor(type, Numbers.Normal(1, batch.Heads.QkvWidth, type));
        float[] q = batch.WriteKv(qkv, [], 0).Read();
        Assert.All(q, v => Assert.True(float.IsNaN(v)));
        Assert.True(before.AsSpan().SequenceEqual(batch.ReadPool()));
    }

    internal static void CheckAll(PagedBatch batch, string what)
    {
        for (int s = 0; s < batch.Outputs.Length; s++)
        {
            float[] got = Decode(batch, s);
            Heads heads = batch.Heads;
            // All rows of short sequences, a sample of long ones that includes tile and split boundaries.
            int length = got.Length / heads.OutWidth;
            foreach (int row in Enumerable.Range(0, length).Where(r => length < 64 || r % 13 == 0 || r % 64 is 63 or 0 || r == length - 1))
                CheckRow(batch, s, row, got.AsSpan(row * heads.OutWidth, heads.OutWidth), what);
        }
    }

    private static void CheckRow(PagedBatch batch, int sequence, int row, ReadOnlySpan<float> got, string what)
    {
        (Heads heads, AttentionOptions options) = (batch.Heads, batch.Options);
        int first = options.Window > 0 ? Math.Max(0, row - options.Window + 1) : 0;
        double[] want = new double[got.Length], size = new double[got.Length];
        double[] Head(int token, int head) =>
            [.. batch.Qkv[sequence].AsSpan(token * heads.QkvWidth + head * heads.Dim, heads.Dim).ToArray().Select(v => (double)v)];
        for (int h = 0; h < heads.Query; h++)
        {
            int kv = h / (heads.Query / heads.Kv);
            (double[] value, double magnitude) = Reference.Attention(Head(row, h), t => Head(t, heads.Query + kv),
                t => Head(t, heads.Query + heads.Kv + kv), first, row, options, h);
            value.CopyTo(want, h * heads.Dim);
            size.AsSpan(h * heads.Dim, heads.Dim).Fill(magnitude);
        }
        Tolerance.Of("paged_attention", batch.Type).Check(want, size, got, $"{what}, sequence {sequence}, row {row}");
    }

    private static float[] Decode(PagedBatch batch, int sequence) => Numbers.Decode(batch.Type, batch.Outputs[sequence]);
}
