using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Operations on independent rows: normalisation, activation, embedding, row gather.</summary>
public sealed unsafe class RowOpTests
{
    private static readonly int[] Columns = [1, 2, 7, 16, 33, 64, 100, 257, 1000];

    public static IEnumerable<TheoryDataRow<string>> Each => Targets.Each;

    public static IEnumerable<TheoryDataRow<string, DType>> EachType => Targets.EachType;

    public static IEnumerable<TheoryDataRow<string, DType, NormKind>> EachNorm =>
        Targets.With(Targets.FloatTypes, [NormKind.Rms, NormKind.Layer]);

    public static IEnumerable<TheoryDataRow<string, DType, Epilogue>> EachActivation =>
        Targets.With(Targets.FloatTypes, [Epilogue.SiluMul, Epilogue.Relu, Epilogue.Gelu, Epilogue.GeluTanh, Epilogue.GeluTanhMul]);

    [Theory, MemberData(nameof(EachNorm))]
    public void A_norm_follows_its_formula_and_hands_on_the_sum(string target, DType type, NormKind kind)
    {
        using Rig rig = new(target);
        const int Rows = 3;
        foreach (int columns in Columns)
            foreach (bool full in new[] { false, true })
            {
                float[] x = Numbers.Normal(21, Rows * columns, type, 2), residual = Numbers.Normal(22, Rows * columns, type, 2);
                float[]? weight = full ? Numbers.Normal(23, columns, type) : null, bias = full ? Numbers.Normal(24, columns, type) : null;
                Tensor output = rig.Tensor(type, Rows * columns), sum = rig.Tensor(type, residual);
                rig.Ops.Norm(new NormArgs
                {
                    Kind = kind,
                    Out = output.Pointer,
                    X = rig.Tensor(type, x).Pointer,
                    ResidualIn = full ? sum.Pointer : null,
                    ResidualOut = full ? sum.Pointer : null,
                    Weight = weight is null ? null : rig.Tensor(type, weight).Pointer,
                    Bias = bias is null ? null : rig.Tensor(type, bias).Pointer,
                    XStride = columns,
                    OutStride = columns,
                    RowsMax = Rows,
                    Columns = columns,
                    Type = type,
                    Epsilon = 1e-5f,
                    WeightOffset = full ? 1 : 0,
                });
                float[] got = output.Read(), handedOn = sum.Read();
                for (int r = 0; r < Rows; r++)
                {
                    double[] s = [.. Enumerable.Range(r * columns, columns).Select(i => x[i] + (full ? (double)residual[i] : 0))];
                    (double[] want, double[] size) = Reference.Norm(kind, s, weight, bias, 1e-5f, full ? 1 : 0);
                    Tolerance.Of("norm", type).Check(want, size, got.AsSpan(r * columns, columns), $"{kind} of {columns} columns, row {r}");
                    if (full)
                        for (int i = 0; i < columns; i++)
                            Assert.Equal(Numbers.Round(type, x[r * columns + i] + residual[r * columns + i]), handedOn[r * columns + i]);
                }
            }
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_norm_row_has_the_same_bits_in_any_batch_and_on_any_thread_count(string target, DType type)
    {
        const int Rows = 37, N = 129;
        float[] x = Numbers.Normal(25, Rows * N, type);
        byte[]? expected = null;
        foreach (int threads in Targets.ThreadCounts(target))
        {
            using Rig rig = new(target, threads);
            byte[] all = RmsNorm(rig, type, x, N);
            expected ??= all;
            Assert.Equal(expected, all);
            for (int r = 0; r < Rows; r += 5)
                Assert.Equal(all.AsSpan(r * all.Length / Rows, all.Length / Rows).ToArray(), RmsNorm(rig, type, x.AsSpan(r * N, N), N));
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void Norm_strides_and_the_true_row_count_are_honoured(string target, DType type)
    {
        using Rig rig = new(target);
        const int Rows = 4, TrueRows = 2, N = 19, Stride = 24;
        float[] x = Numbers.Normal(26, Rows * Stride, type);
        Tensor output = rig.Tensor(type, Rows * Stride);
        rig.Ops.Norm(new NormArgs
        {
            Kind = NormKind.Rms,
            Out = output.Pointer,
            X = rig.Tensor(type, x).Pointer,
            Rows = rig.Integers(TrueRows),
            XStride = Stride,
            OutStride = Stride,
            RowsMax = Rows,
            Columns = N,
            Type = type,
            Epsilon = 1e-6f,
        });
        float[] got = output.Read();
        for (int r = 0; r < Rows; r++)
            for (int j = 0; j < Stride; j++)
                Assert.Equal(r < TrueRows && j < N, !float.IsNaN(got[r * Stride + j]));
    }

    [Theory, MemberData(nameof(EachActivation))]
    public void An_activation_follows_its_formula(string target, DType type, Epilogue kind)
    {
        using Rig rig = new(target);
        const int Rows = 3;
        bool gated = Reference.IsGated(kind);
        foreach (int columns in Columns)
        {
            int width = gated ? 2 * columns : columns;
            float[] x = Numbers.Normal(27, Rows * width, type, 3);
            (x[0], x[^1]) = (Numbers.Round(type, -90), Numbers.Round(type, 90));
            Tensor output = rig.Tensor(type, Rows * columns);
            rig.Ops.Activate(new ActivateArgs
            {
                Kind = kind,
                Out = output.Pointer,
                X = rig.Tensor(type, x).Pointer,
                RowsMax = Rows,
                Columns = columns,
                Type = type,
            });
            double[] want = new double[Rows * columns], size = new double[Rows * columns];
            for (int i = 0; i < want.Length; i++)
            {
                int at = i / columns * width + i % columns;
                double up = gated ? x[at + columns] : 1;
                want[i] = Reference.Activation(kind, x[at]) * up;
                size[i] = Math.Abs(x[at] * up);
            }
            Tolerance.Of("activate", type).Check(want, size, output.Read(), $"{kind} of {columns} columns");
        }
    }

    [Theory, MemberData(nameof(EachType))]
    public void An_embedding_is_the_tables_row_and_zeros_outside_the_vocabulary(string target, DType type)
    {
        using Rig rig = new(target);
        const int Vocabulary = 50, PositionRows = 12;
        int[] ids = [0, 49, 7, 50, -1, int.MaxValue, 7], positions = [0, 1, 2, 3, 4, 5, 9];
        foreach (int columns in new[] { 1, 8, 33, 64, 130 })
            foreach (DType outType in Targets.FloatTypes)
            {
                float[] table = Numbers.Normal(28, Vocabulary * columns, type), positionTable = Numbers.Normal(29, PositionRows * columns, type);
                foreach (bool positioned in new[] { false, true })
                {
                    Tensor output = rig.Tensor(outType, ids.Length * columns);
                    rig.Ops.Embed(new EmbedArgs
                    {
                        TypeOut = outType,
                        Out = output.Pointer,
                        Ids = rig.Integers(ids),
                        Table = Pack(rig, type, table, Vocabulary, columns),
                        PositionTable = positioned ? rig.Tensor(type, positionTable).Pointer : null,
                        Positions = positioned ? rig.Integers(positions) : null,
                        RowsMax = ids.Length,
                        Vocabulary = Vocabulary,
                        Columns = columns,
                        PositionRows = positioned ? PositionRows : 0,
                        PositionOffset = positioned ? 2 : 0,
                        TypeTable = type,
                        Scale = positioned ? 1.5f : 1,
                    });
                    float[] got = output.Read();
                    for (int r = 0; r < ids.Length; r++)
                    {
                        bool known = ids[r] is >= 0 and < Vocabulary;
                        double[] want = [.. Enumerable.Range(0, columns).Select(j => !known ? 0
                            : (positioned ? 1.5 : 1) * table[ids[r] * columns + j] + (positioned ? positionTable[(positions[r] + 2) * columns + j] : 0.0))];
                        if (known)
                            new Tolerance(1e-6, Numbers.Roundoff(outType) * 1.3).Check(want, [.. want.Select(_ => 2.0)],
                                got.AsSpan(r * columns, columns), $"row {r} of {columns} columns");
                        else if (!positioned)
                            Assert.All(got.AsSpan(r * columns, columns).ToArray(), v => Assert.Equal(0, v));
                    }
                }
            }
    }

    [Theory, MemberData(nameof(EachType))]
    public void A_plain_embedding_copies_the_tables_bits(string target, DType type)
    {
        using Rig rig = new(target);
        const int Vocabulary = 20, Width = 27;
        float[] table = Numbers.Normal(30, Vocabulary * Width, type);
        Tensor output = rig.Tensor(type, Vocabulary * Width);
        rig.Ops.Embed(new EmbedArgs
        {
            TypeOut = type,
            Out = output.Pointer,
            Ids = rig.Integers([.. Enumerable.Range(0, Vocabulary)]),
            Table = Pack(rig, type, table, Vocabulary, Width),
            RowsMax = Vocabulary,
            Vocabulary = Vocabulary,
            Columns = Width,
            TypeTable = type,
            Scale = 1,
        });
        Assert.Equal(rig.Tensor(type, table).Bits(), output.Bits());
    }

    [Theory, MemberData(nameof(EachType))]
    public void Gathered_rows_are_copies_and_negative_indices_leave_theirs(string target, DType type)
    {
        using Rig rig = new(target);
        foreach (int columns in new[] { 1, 5, 32, 67 })
        {
            int[] indices = [4, -1, 0, 4, 2];
            float[] x = Numbers.Normal(31, 5 * columns, type);
            Tensor output = rig.Tensor(type, 6 * columns);
            rig.Ops.GatherRows(new GatherRowsArgs
            {
                Type = type,
                Out = output.Pointer,
                X = rig.Tensor(type, x).Pointer,
                Indices = rig.Integers([.. indices, 1]),
                Rows = rig.Integers(indices.Length),
                RowsMax = 6,
                XRows = 5,
                Columns = columns,
            });
            float[] got = output.Read();
            for (int r = 0; r < 6; r++)
                for (int j = 0; j < columns; j++)
                    Assert.Equal(r < indices.Length && indices[r] >= 0 ? x[indices[r] * columns + j] : float.NaN, got[r * columns + j]);
        }
    }

    private static byte[] RmsNorm(Rig rig, DType type, ReadOnlySpan<float> x, int columns)
    {
        Tensor output = rig.Tensor(type, x.Length);
        rig.Ops.Norm(new NormArgs
        {
            Kind = NormKind.Rms,
            Out = output.Pointer,
            X = rig.Tensor(type, x).Pointer,
            XStride = columns,
            OutStride = columns,
            RowsMax = x.Length / columns,
            Columns = columns,
            Type = type,
            Epsilon = 1e-5f,
        });
        return output.Bits();
    }

    private static void* Pack(Rig rig, DType type, float[] table, int n, int k)
    {
        void* packed = rig.Memory(rig.Library.PackedWeightBytes(type, n, k));
        fixed (byte* source = Numbers.Encode(type, table))
            rig.Ops.PackWeight(new PackWeightArgs
            {
                Type = type,
                Packed = packed,
                Source = source,
                TypeSource = type,
                N = n,
                K = k,
                SourceRows = n,
            });
        return packed;
    }
}
