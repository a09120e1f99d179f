using BenchmarkDotNet.Attributes;
using NativeLM.Interop;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>From C# into the library and back: a bare call through the function table, an op that has nothing to do, a small op.</summary>
[MemoryDiagnoser]
public class OpCalls
{
    private SmallNorm _norm = null!;
    private NativeApi _api = null!;

    public static IEnumerable<Backend> Present => Backends.Present;

    [ParamsSource(nameof(Present))]
    public Backend Backend { get; set; }

    [GlobalSetup]
    public void Open()
    {
        _norm = new SmallNorm(Backend);
        _api = _norm.Stream.Device.Api;
    }

    [GlobalCleanup]
    public void Close() => _norm.Dispose();

    [Benchmark(Baseline = true)]
    public int TableCall() => _api.AbiVersion();

    [Benchmark]
    public void NormOfNoRows() => _norm.Run(rows: 0);

    [Benchmark]
    public void NormOf16Rows()
    {
        _norm.Run();
        _norm.Stream.Synchronize();
    }
}
