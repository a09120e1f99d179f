using BenchmarkDotNet.Attributes;
using NativeLM.Engine.Memory;
using NativeLM.Tests;

namespace NativeLM.Benchmarks.Host;

/// <summary>A second sequence that shares the 125 blocks of one of 2,000 tokens, beside dictionaries and lists.</summary>
[MemoryDiagnoser]
public class ForkCost
{
    private const int Tokens = 2000;

    private readonly BlockManager _manager = new(200, 16, hostBlockCount: 0, prefixCaching: true, hashSeed: 1);
    private readonly BlockTable _parent = new();
    private readonly BlockTable _child = new();
    private readonly NaiveBlockManager _naive = new(200, 16, hostBlockCount: 0);
    private readonly NaiveTable _naiveParent = new();
    private readonly NaiveTable _naiveChild = new();

    [GlobalSetup]
    public void Reserve()
    {
        if (!_manager.TryGrow(_parent, Tokens, margin: 0) || !_naive.TryGrow(_naiveParent, Tokens, margin: 0))
            throw new InvalidOperationException("the pool is too small");
    }

    // The child is emptied without giving back its references, which is another operation: they grow by one per fork.
    [Benchmark]
    public void Fork()
    {
        _child.Begin(0);
        _manager.Fork(_parent, _child, _parent.Count);
    }

    /// <summary>The part of it that is reference counting.</summary>
    [Benchmark]
    public void ReferencesOnly() => _manager.Pool.AddReferences(_parent.Blocks);

    [Benchmark(Baseline = true)]
    public void DictionariesAndLists()
    {
        _naiveChild.Blocks.Clear();
        _naive.Fork(_naiveParent, _naiveChild, _naiveParent.Blocks.Count);
    }
}
