using BenchmarkDotNet.Attributes;
using NativeLM.Engine.Memory;
using NativeLM.Tests;

namespace NativeLM.Benchmarks.Host;

/// <summary>
/// All that the block manager does for a request of 2,000 tokens whose first half is in the prefix cache: match, reserve, index, free. Per
/// block, beside dictionaries and lists.
/// </summary>
[MemoryDiagnoser]
public class RequestBlocks
{
    private const int BlockSize = 16;
    private const int Blocks = 125;

    private readonly PrefixMatch _match = new();
    private readonly BlockManager _manager = new(1000, BlockSize, hostBlockCount: 0, prefixCaching: true, hashSeed: 1);
    private readonly BlockTable _table = new();
    private readonly NaiveBlockManager _naive = new(1000, BlockSize, hostBlockCount: 0);
    private readonly NaiveTable _naiveTable = new();
    private readonly int[] _tokens = [.. Enumerable.Range(0, Blocks * BlockSize)];
    private int _round;

    [Benchmark(OperationsPerInvoke = Blocks)]
    public bool MatchReserveIndexFree()
    {
        ChangeSecondHalf();
        _manager.Match(_tokens, salt: 0, _match);
        bool done = _manager.TryReserve(_table, _match, _tokens.Length, margin: 0);
        _manager.Index(_table, _tokens, salt: 0, _tokens.Length);
        _manager.Free(_table);
        return done;
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Blocks)]
    public bool DictionariesAndLists()
    {
        ChangeSecondHalf();
        bool done = _naive.TryReserve(_naiveTable, _naive.Match(_tokens, salt: 0), _tokens.Length, margin: 0);
        _naive.Index(_naiveTable, _tokens, salt: 0, _tokens.Length);
        _naive.Free(_naiveTable);
        return done;
    }

    private void ChangeSecondHalf() => _tokens[_tokens.Length / 2] = ++_round;
}
