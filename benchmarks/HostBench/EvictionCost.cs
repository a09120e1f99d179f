using BenchmarkDotNet.Attributes;
using NativeLM.Engine.Memory;
using NativeLM.Tests;

namespace NativeLM.Benchmarks.Host;

/// <summary>Taking a block that the prefix cache still knows: it leaves free list and index. Beside dictionaries and lists.</summary>
[MemoryDiagnoser]
public class EvictionCost
{
    private const int BlockSize = 16;
    private const int Blocks = 4096;

    private readonly int[] _tokens = [.. Enumerable.Range(0, Blocks * BlockSize)];
    private readonly BlockManager _manager = new(Blocks + 1, BlockSize, hostBlockCount: 0, prefixCaching: true, hashSeed: 1);
    private readonly BlockTable _table = new();
    private readonly NaiveBlockManager _naive = new(Blocks + 1, BlockSize, hostBlockCount: 0);
    private readonly NaiveTable _naiveTable = new();

    /// <summary>An iteration is one call, so what it calls must have been compiled to the end before.</summary>
    [GlobalSetup]
    public void Warm()
    {
        for (int i = 0; i < 60; i++)
        {
            FillCache();
            TakeAndEvict();
            FillNaiveCache();
            DictionariesAndLists();
            Thread.Sleep(10); // methods are compiled anew in the background
        }
    }

    [IterationSetup(Target = nameof(TakeAndEvict))]
    public void FillCache()
    {
        _manager.Free(_table);
        _manager.TryGrow(_table, _tokens.Length, margin: 0);
        _manager.Index(_table, _tokens, salt: 0, _tokens.Length);
        _manager.Free(_table);
    }

    [IterationSetup(Target = nameof(DictionariesAndLists))]
    public void FillNaiveCache()
    {
        _naive.Free(_naiveTable);
        _naive.TryGrow(_naiveTable, _tokens.Length, margin: 0);
        _naive.Index(_naiveTable, _tokens, salt: 0, _tokens.Length);
        _naive.Free(_naiveTable);
    }

    [Benchmark(OperationsPerInvoke = Blocks)]
    public bool TakeAndEvict() => _manager.TryGrow(_table, _tokens.Length, margin: 0);

    [Benchmark(Baseline = true, OperationsPerInvoke = Blocks)]
    public bool DictionariesAndLists() => _naive.TryGrow(_naiveTable, _tokens.Length, margin: 0);
}
