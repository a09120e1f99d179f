using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>One linear layer with a packed weight; runs any number of rows through it.</summary>
internal sealed unsafe class LinearLayer
{
    private readonly Rig _rig;
    private readonly void* _weight;

    /// <summary>Packs w [n, k]; for gated epilogues the first half of the rows is the gate, the second the up part.</summary>
    public LinearLayer(Rig rig, DType type, float[] w, int n, int k, bool gated = false, DType? sourceType = null, int parts = 1)
    {
        (_rig, Type, N, K) = (rig, type, n, k);
        _weight = rig.Memory(rig.Library.PackedWeightBytes(type, n, k));
        int rows = gated ? n / 2 : n;
        for (int half = 0; half < (gated ? 2 : 1); half++)
            for (int part = 0; part < parts; part++)
            {
                int first = rows * part / parts, end = rows * (part + 1) / parts, offset = half * rows + first;
                byte[] source = Numbers.Encode(sourceType ?? type, w.AsSpan(offset * k, (end - first) * k));
                fixed (byte* start = source)
                    rig.Ops.PackWeight(new PackWeightArgs
                    {
                        Type = type,
                        Packed = _weight,
                        Source = start,
                        TypeSource = sourceType ?? type,
                        Role = !gated ? WeightRole.Plain : half == 0 ? WeightRole.Gate : WeightRole.Up,
                        N = n,
                        K = k,
                        RowOffset = first,
                        SourceRows = end - first,
                    });
            }
    }

    public DType Type { get; }

    public int N { get; }

    public int K { get; }

    public float[]? Bias { get; init; }

    public Epilogue Epilogue { get; init; }

    public int OutColumns => Reference.IsGated(Epilogue) ? N / 2 : N;

    /// <summary>x holds rows × K values; returns the output with row stride <paramref name="outStride"/> (0: dense).</summary>
    public Tensor Run(Tensor x, int rows, DType? outType = null, int xStride = 0, int outStride = 0, int? trueRows = null, Tensor? residual = null)
    {
        outStride = outStride == 0 ? OutColumns : outStride;
        Tensor output = _rig.Tensor(outType ?? Type, rows * outStride);
        GemmArgs args = new()
        {
            Epilogue = Epilogue,
            Out = output.Pointer,
            X = x.Pointer,
            Weight = _weight,
            Bias = Bias is null ? null : _rig.Tensor(Type, Bias).Pointer,
            Residual = residual is null ? null : residual.Pointer,
            Rows = trueRows is int count ? _rig.Integers(count) : null,
            XStride = xStride == 0 ? K : xStride,
            OutStride = outStride,
            RowsMax = rows,
            N = N,
            K = K,
            TypeX = Type,
            TypeWeight = Type,
            TypeOut = outType ?? Type,
        };
        args.WorkspaceBytes = _rig.Library.GemmWorkspaceBytes(args);
        args.Workspace = _rig.Memory(args.WorkspaceBytes);
        _rig.Ops.Gemm(args);
        return output;
    }
}
