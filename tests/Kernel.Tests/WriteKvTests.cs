using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// What nlm_write_kv does to q is read directly. What it does to k is read through attention: with k rotated and the query itself a unit
/// vector the layout inside a block stays the backend's own.
/// </summary>
public sealed unsafe class WriteKvTests
{
    public static IEnumerable<TheoryDataRow<string, DType, RopeStyle>> EachStyle =>
        Targets.With(Targets.FloatTypes, [RopeStyle.None, RopeStyle.HalfSplit, RopeStyle.Interleaved]);

    [Theory, MemberData(nameof(EachStyle))]
    public void Queries_and_keys_are_normalised_and_rotated(string target, DType type, RopeStyle style)
    {
        using Rig rig = new(target);
        foreach ((Heads heads, int rotaryDim) in new[] { (new Heads(2, 1, 16), 16), (new Heads(4, 2, 64), 64), (new Heads(3, 3, 80), 32), (new Heads(1, 1, 20), 10) })
            foreach (bool normed in new[] { false, true })
                Check(rig, type, style, heads, rotaryDim, normed);
    }

    private static void Check(Rig rig, DType type, RopeStyle style, Heads heads, int rotaryDim, bool normed)
    {
        const int Rows = 9, PositionsMax = 7;
        int[] positions = [0, 1, 2, 3, 4, 5, 6, 7, 100];
        float[] table = RopeTable(PositionsMax, rotaryDim);
        float[]? qNorm = normed ? Numbers.Normal(41, heads.Dim, type) : null, kNorm = normed ? Numbers.Normal(42, heads.Dim, type) : null;
        PagedBatch batch = new(rig, type, heads, 8, [Rows]);
        KvCache cache = PagedBatch.Sized(batch.Cache);
        Tensor q = rig.Tensor(type, Rows * heads.OutWidth);
        rig.Ops.WriteKv(new WriteKvArgs
        {
            Type = type,
            QOut = q.Pointer,
            Cache = &cache,
            Qkv = rig.Tensor(type, batch.Qkv[0]).Pointer,
            QNorm = qNorm is null ? null : rig.Tensor(type, qNorm).Pointer,
            KNorm = kNorm is null ? null : rig.Tensor(type, kNorm).Pointer,
            RopeTable = style == RopeStyle.None ? null : rig.Floats(table),
            Positions = rig.Integers(positions),
            Slots = rig.Integers([.. Enumerable.Range(0, Rows).Select(t => batch.Slot(0, t))]),
            RowsMax = Rows,
            QHeadCount = heads.Query,
            Layer = 1,
            PositionsMax = PositionsMax,
            RotaryDim = rotaryDim,
            RopeStyle = style,
            NormEpsilon = 1e-6f,
        });

        (double[] Value, double[] Size) Head(int row, int head, float[]? norm)
        {
            double[] x = [.. batch.Qkv[0].AsSpan(row * heads.QkvWidth + head * heads.Dim, heads.Dim).ToArray().Select(v => (double)v)];
            if (norm is not null)
                x = Reference.Norm(NormKind.Rms, x, norm, null, 1e-6f, 0).Value;
            double size = x.Max(Math.Abs);
            ReadOnlySpan<float> angles = table.AsSpan(Math.Min(positions[row], PositionsMax - 1) * rotaryDim, rotaryDim);
            Reference.Rope(x, angles, rotaryDim, style);
            return (x, [.. x.Select(_ => size)]);
        }

        float[] got = q.Read();
        for (int r = 0; r < Rows; r++)
            for (int h = 0; h < heads.Query; h++)
            {
                (double[] want, double[] size) = Head(r, h, qNorm);
                Tolerance.Of("write_kv", type).Check(want, size, got.AsSpan(r * heads.OutWidth + h * heads.Dim, heads.Dim),
                    $"{style} q row {r} head {h}, norm {normed}");
            }

        // Keys: attend with the rotated queries; keys that were not rotated the same way would give other weights.
        Chunk[] chunk = [new(0, 0, Rows)];
        float[] attended = batch.Attend(q, chunk, Rows).Read();
        AttentionOptions options = batch.Options;
        for (int r = 0; r < Rows; r++)
            for (int h = 0; h < heads.Query; h++)
            {
                int kv = h / (heads.Query / heads.Kv);
                double[] query = [.. got.AsSpan(r * heads.OutWidth + h * heads.Dim, heads.Dim).ToArray().Select(v => (double)v)];
                (double[] want, double magnitude) = Reference.Attention(query,
                    t => [.. Head(t, heads.Query + kv, kNorm).Value.Select(v => (double)Numbers.Round(type, (float)v))],
                    t => [.. batch.Qkv[0].AsSpan(t * heads.QkvWidth + (heads.Query + heads.Kv + kv) * heads.Dim, heads.Dim).ToArray().Select(v => (double)v)],
                    0, r, options, h);
                // A key off by one rounding moves its score by up to |q|·|k|·roundoff, so this check is loose; layout errors are far larger.
                double slack = 16 * Numbers.Roundoff(type) * query.Sum(Math.Abs) + 1e-5;
                new Tolerance(slack, 0).Check(want, [.. want.Select(_ => magnitude)],
                    attended.AsSpan(r * heads.OutWidth + h * heads.Dim, heads.Dim), $"{style} k row {r} head {h}, norm {normed}");
            }
    }

    internal static float[] RopeTable(int positions, int rotaryDim)
    {
        float[] table = new float[positions * rotaryDim];
        for (int p = 0; p < positions; p++)
            for (int i = 0; i < rotaryDim / 2; i++)
            {
                double angle = p * Math.Pow(10000, -2.0 * i / rotaryDim);
                table[p * rotaryDim + i] = (float)Math.Cos(angle);
                table[p * rotaryDim + rotaryDim / 2 + i] = (float)Math.Sin(angle);
            }
        return table;
    }
}
