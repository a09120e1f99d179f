using BenchmarkDotNet.Attributes;
using NativeLM.Engine.Memory;

namespace NativeLM.Benchmarks.Host;

/// <summary>Taking and releasing a KV block, beside a queue with a set.</summary>
[MemoryDiagnoser]
public class BlockPoolCost
{
    private const int Blocks = 1024;

    private readonly BlockPool _pool = new(Blocks + 1);
    private readonly int[] _held = new int[Blocks];
    private readonly Queue<int> _free = new(Enumerable.Range(1, Blocks));
    private readonly HashSet<int> _used = new(Blocks);

    [Benchmark(OperationsPerInvoke = Blocks)]
    public void TakeAndRelease()
    {
        for (int i = 0; i < Blocks; i++)
            _held[i] = _pool.Take(out _);
        for (int i = 0; i < Blocks; i++)
            _pool.Release(_held[i]);
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Blocks)]
    public void QueueAndSet()
    {
        for (int i = 0; i < Blocks; i++)
        {
            _held[i] = _free.Dequeue();
            _used.Add(_held[i]);
        }
        for (int i = 0; i < Blocks; i++)
        {
            _used.Remove(_held[i]);
            _free.Enqueue(_held[i]);
        }
    }
}
