using BenchmarkDotNet.Attributes;
using NativeLM.Interop;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>A graph of small ops, launched and waited for, beside the same ops called one by one.</summary>
[MemoryDiagnoser]
public class GraphLaunch
{
    private SmallNorm _norm = null!;
    private DeviceGraph _graph = null!;

    public static IEnumerable<Backend> Present => Backends.Present;

    [ParamsSource(nameof(Present))]
    public Backend Backend { get; set; }

    [Params(1, 64)]
    public int Ops { get; set; }

    [GlobalSetup]
    public void Capture()
    {
        _norm = new SmallNorm(Backend);
        _norm.Run(); // loads the kernel: a recording must not be the first to
        _norm.Stream.Synchronize();
        _graph = _norm.Stream.Capture(RunAll);
    }

    [GlobalCleanup]
    public void Close()
    {
        _graph.Dispose();
        _norm.Dispose();
    }

    [Benchmark(Baseline = true)]
    public void OneByOne()
    {
        RunAll();
        _norm.Stream.Synchronize();
    }

    [Benchmark]
    public void AsGraph()
    {
        _norm.Stream.Launch(_graph);
        _norm.Stream.Synchronize();
    }

    private void RunAll()
    {
        for (int i = 0; i < Ops; i++)
            _norm.Run();
    }
}
