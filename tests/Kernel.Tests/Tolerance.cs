using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// How far a result may be from the double-precision formula: |got - want| ≤ Sum · (sum of magnitudes) + Value · |want| + Floor. The figures are
/// those of docs/numerics.md, which a test compares with this table.
/// </summary>
internal readonly record struct Tolerance(double Sum, double Value)
{
    private static readonly Dictionary<(string Op, DType Type), Tolerance> Table = new()
    {
        [("gemm", DType.F32)] = new(1e-6, 1e-6),
        [("gemm", DType.BF16)] = new(2e-6, 4.5e-3),
        [("gemm", DType.F16)] = new(2e-6, 6e-4),
        [("norm", DType.F32)] = new(2e-6, 2e-6),
        [("norm", DType.BF16)] = new(6e-3, 4.5e-3),
        [("norm", DType.F16)] = new(1e-3, 6e-4),
        [("activate", DType.F32)] = new(2e-6, 2e-6),
        [("activate", DType.BF16)] = new(2e-6, 4.5e-3),
        [("activate", DType.F16)] = new(2e-6, 6e-4),
        [("embed", DType.F32)] = new(0, 1e-6),
        [("embed", DType.BF16)] = new(0, 4.5e-3),
        [("embed", DType.F16)] = new(0, 6e-4),
        [("write_kv", DType.F32)] = new(2e-6, 2e-6),
        [("write_kv", DType.BF16)] = new(2e-3, 4.5e-3),
        [("write_kv", DType.F16)] = new(4e-4, 6e-4),
        [("paged_attention", DType.F32)] = new(4e-6, 4e-6),
        [("paged_attention", DType.BF16)] = new(6e-3, 4.5e-3),
        [("paged_attention", DType.F16)] = new(1e-3, 6e-4),
        [("sample", DType.F32)] = new(2e-6, 2e-6),
    };

    public static IEnumerable<(string Op, DType Type, Tolerance Tolerance)> All => Table.Select(e => (e.Key.Op, e.Key.Type, e.Value));

    /// <summary>Half of the smallest step near zero, which matters in binary16 only: below 6e-5 its values are 6e-8 apart.</summary>
    public double Floor { get; init; } = 1e-30;

    public static Tolerance Of(string op, DType type) => Table[(op, type)] with { Floor = type == DType.F16 ? 3.1e-8 : 1e-30 };

    /// <summary>Fails with the worst element. <paramref name="magnitudes"/>: per element, the sum of the magnitudes that were added up.</summary>
    public void Check(ReadOnlySpan<double> want, ReadOnlySpan<double> magnitudes, ReadOnlySpan<float> got, string what)
    {
        Assert.Equal(want.Length, got.Length);
        double worst = 0;
        int at = -1;
        for (int i = 0; i < want.Length; i++)
        {
            double allowed = Sum * magnitudes[i] + Value * Math.Abs(want[i]) + Floor;
            double excess = Math.Abs(got[i] - want[i]) / allowed;
            if (double.IsNaN(excess) || excess > worst)
                (worst, at) = (double.IsNaN(excess) ? double.PositiveInfinity : excess, i);
        }
        if (worst > 1)
            Assert.Fail($"{what}: element {at}: found {got[at]:g9}, needed {want[at]:g9}; the error is {worst:g3} times the allowed one");
    }
}
