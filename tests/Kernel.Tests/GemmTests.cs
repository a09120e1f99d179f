using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed class GemmTests
{
    private static readonly (int Rows, int N, int K)[] Shapes =
        [(1, 1, 1), (1, 16, 32), (2, 17, 33), (3, 64, 64), (7, 48, 100), (16, 80, 256), (17, 33, 65), (33, 128, 96), (64, 31, 40), (5, 200, 513), (150, 70, 130)];

    public static IEnumerable<TheoryDataRow<string>> Each => Targets.Each;

    public static IEnumerable<TheoryDataRow<string, DType>> EachType => Targets.EachType;

    public static IEnumerable<TheoryDataRow<string, DType, Epilogue>> EachEpilogue =>
        Targets.With(Targets.FloatTypes, [Epilogue.None, Epilogue.SiluMul, Epilogue.Relu, Epilogue.Gelu, Epilogue.GeluTanh, Epilogue.GeluTanhMul]);

    [Theory, MemberData(nameof(EachType))]
    public void A_linear_layer_is_the_product_of_its_matrices(string target, DType type)
    {
        using Rig rig = new(target);
        foreach ((int rows, int n, int k) in Shapes)
        {
            float[] x = Numbers.Normal(1, rows * k, type), w = Numbers.Normal(2, n * k, type);
            LinearLayer layer = new(rig, type, w, n, k);
            (double[] want, double[] size) = Reference.Gemm(x, w, rows, n, k);
            foreach (DType outType in new[] { type, DType.F32 }.Distinct())
                Of(type, outType).Check(want, size, layer.Run(rig.Tensor(type, x), rows, outType).Read(), $"{rows}×{n}×{k} to {outType}");
        }
    }

    [Theory, MemberData(nameof(EachEpilogue))]
    public void Every_epilogue_adds_the_bias_then_activates(string target, DType type, Epilogue epilogue)
    {
        using Rig rig = new(target);
        foreach ((int rows, int n, int k) in new[] { (1, 32, 48), (5, 66, 37), (19, 130, 64) })
        {
            float[] x = Numbers.Normal(3, rows * k, type, 0.5), w = Numbers.Normal(4, n * k, type, 0.5), bias = Numbers.Normal(5, n, type);
            bool gated = Reference.IsGated(epilogue);
            LinearLayer layer = new(rig, type, w, n, k, gated) { Bias = bias, Epilogue = epilogue };
            (double[] sum, double[] size) = Reference.Gemm(x, w, rows, n, k, bias);
            int columns = layer.OutColumns;
            double[] want = new double[rows * columns], magnitude = new double[rows * columns];
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < columns; j++)
                {
                    int at = r * n + j;
                    double activated = Reference.Activation(epilogue, sum[at]), up = gated ? sum[at + columns] : 1;
                    want[r * columns + j] = activated * up;
                    // An activation's slope is at most 1.2; a product carries both errors.
                    magnitude[r * columns + j] = 1.2 * size[at] * Math.Abs(up) + (gated ? Math.Abs(activated) * size[at + columns] : 0);
                }
            Of(type, type).Check(want, magnitude, layer.Run(rig.Tensor(type, x), rows).Read(), $"{epilogue} {rows}×{n}×{k}");
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void The_residual_is_added_in_place_after_the_activation(string target, DType type)
    {
        using Rig rig = new(target);
        const int Rows = 6, N = 50, K = 40;
        float[] x = Numbers.Normal(6, Rows * K, type), w = Numbers.Normal(7, N * K, type), residual = Numbers.Normal(8, Rows * N, type, 4);
        (double[] sum, double[] size) = Reference.Gemm(x, w, Rows, N, K);
        double[] want = [.. sum.Zip(residual, (s, r) => Math.Max(s, 0) + r)];
        LinearLayer layer = new(rig, type, w, N, K) { Epilogue = Epilogue.Relu };
        Tensor separate = rig.Tensor(type, residual);
        float[] got = layer.Run(rig.Tensor(type, x), Rows, residual: separate).Read();
        Of(type, type).Check(want, [.. size.Zip(residual, (s, r) => s + Math.Abs(r))], got, "residual");
        Assert.Equal(residual, separate.Read());
    }

    [Theory, MemberData(nameof(EachType))]
    public void Strides_and_the_true_row_count_are_honoured(string target, DType type)
    {
        using Rig rig = new(target);
        const int Rows = 9, TrueRows = 5, N = 21, K = 34, XStride = 40, OutStride = 32;
        float[] w = Numbers.Normal(9, N * K, type), dense = Numbers.Normal(10, Rows * K, type);
        float[] x = [.. Enumerable.Repeat(float.NaN, Rows * XStride)];
        for (int r = 0; r < Rows; r++)
            dense.AsSpan(r * K, K).CopyTo(x.AsSpan(r * XStride));
        LinearLayer layer = new(rig, type, w, N, K);
        float[] plain = layer.Run(rig.Tensor(type, dense), Rows).Read();
        float[] got = layer.Run(rig.Tensor(type, x), Rows, null, XStride, OutStride, TrueRows).Read();
        for (int r = 0; r < Rows; r++)
            for (int j = 0; j < OutStride; j++)
                Assert.Equal(r < TrueRows && j < N ? plain[r * N + j] : float.NaN, got[r * OutStride + j]);
    }

    [Theory, MemberData(nameof(EachType))]
    public void Whole_numbers_come_out_exactly(string target, DType type)
    {
        using Rig rig = new(target);
        foreach ((int rows, int n, int k) in Shapes)
        {
            float[] x = Numbers.Integers(11, rows * k, 3), w = Numbers.Integers(12, n * k, 3);
            float[] want = [.. Reference.Gemm(x, w, rows, n, k).Value.Select(v => (float)v)];
            Assert.Equal(want, new LinearLayer(rig, type, w, n, k).Run(rig.Tensor(type, x), rows, DType.F32).Read());
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_weight_packed_in_parts_equals_one_packed_whole(string target, DType type)
    {
        using Rig rig = new(target);
        const int Rows = 4, N = 90, K = 36;
        Tensor x = rig.Tensor(type, Numbers.Normal(13, Rows * K, type));
        float[] w = Numbers.Normal(14, N * K, type);
        foreach (bool gated in new[] { false, true })
        {
            Epilogue epilogue = gated ? Epilogue.SiluMul : Epilogue.None;
            byte[] whole = new LinearLayer(rig, type, w, N, K, gated) { Epilogue = epilogue }.Run(x, Rows).Bits();
            Assert.Equal(whole, new LinearLayer(rig, type, w, N, K, gated, parts: 3) { Epilogue = epilogue }.Run(x, Rows).Bits());
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void Packing_converts_with_one_rounding_to_nearest_even(string target, DType type)
    {
        using Rig rig = new(target);
        const int Rows = 3, N = 40, K = 24;
        Tensor x = rig.Tensor(type, Numbers.Normal(15, Rows * K, type));
        foreach (DType source in Targets.FloatTypes)
        {
            float[] w = Numbers.Normal(16, N * K, source);
            byte[] want = new LinearLayer(rig, type, [.. w.Select(v => Numbers.Round(type, v))], N, K).Run(x, Rows).Bits();
            Assert.Equal(want, new LinearLayer(rig, type, w, N, K, sourceType: source).Run(x, Rows).Bits());
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_row_has_the_same_bits_alone_in_any_batch_and_on_any_thread_count(string target, DType type)
    {
        const int RowsMax = 150, N = 100, K = 161;
        float[] x = Numbers.Normal(17, RowsMax * K, type), w = Numbers.Normal(18, 2 * N * K, type), bias = Numbers.Normal(19, 2 * N, type);
        byte[]? expected = null;
        foreach (int threads in Targets.ThreadCounts(target))
        {
            using Rig rig = new(target, threads);
            LinearLayer layer = new(rig, type, w, 2 * N, K, gated: true) { Bias = bias, Epilogue = Epilogue.SiluMul };
            byte[] all = layer.Run(rig.Tensor(type, x), RowsMax).Bits();
            expected ??= all;
            Assert.Equal(expected, all);
            foreach (int rows in new[] { 1, 2, 7, 16, 17, 33, 64 })
            {
                int first = 41 % (RowsMax - rows + 1), rowBytes = all.Length / RowsMax;
                byte[] part = layer.Run(rig.Tensor(type, x.AsSpan(first * K, rows * K)), rows).Bits();
                Assert.Equal(all.AsSpan(first * rowBytes, rows * rowBytes).ToArray(), part);
            }
        }
    }

    private static Tolerance Of(DType type, DType outType)
    {
        Tolerance t = Tolerance.Of("gemm", type);
        return outType == DType.F32 ? t with { Value = Tolerance.Of("gemm", DType.F32).Value } : t;
    }
}
