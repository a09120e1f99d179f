using NativeLM.Interop;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>A norm of a few rows on one backend: small enough that what surrounds it shows.</summary>
internal sealed unsafe class SmallNorm : IDisposable
{
    private const int Rows = 16;
    private const int Columns = 256;

    private readonly Device _device;
    private readonly DeviceBuffer _x;
    private readonly DeviceBuffer _out;

    public SmallNorm(Backend backend)
    {
        _device = Backends.Open(backend);
        Stream = _device.CreateStream();
        _x = _device.Allocate(Rows * Columns * sizeof(float));
        _out = _device.Allocate(Rows * Columns * sizeof(float));
        float[] values = [.. Enumerable.Range(1, Rows * Columns).Select(i => MathF.Sin(i))];
        fixed (float* source = values)
        {
            Stream.Ops.Copy(_x.Pointer, source, values.Length * sizeof(float), CopyKind.ToDevice);
            Stream.Synchronize();
        }
    }

    public DeviceStream Stream { get; }

    /// <summary>Queues it once over <paramref name="rows"/> rows; 0 rows leave the call alone.</summary>
    public void Run(int rows = Rows) => Stream.Ops.Norm(new NormArgs
    {
        Kind = NormKind.Rms,
        Out = _out.Pointer,
        X = _x.Pointer,
        XStride = Columns,
        OutStride = Columns,
        RowsMax = rows,
        Columns = Columns,
        Type = DType.F32,
        Epsilon = 1e-5f,
    });

    public void Dispose()
    {
        _x.Dispose();
        _out.Dispose();
        Stream.Dispose();
        _device.Dispose();
    }
}
