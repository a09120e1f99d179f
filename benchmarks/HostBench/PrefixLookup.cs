using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using BenchmarkDotNet.Attributes;
using NativeLM.Engine.Memory;

namespace NativeLM.Benchmarks.Host;

/// <summary>Finding a prompt of 2,000 tokens in the prefix cache, per block of 16, beside a chain of SHA-256 with a dictionary.</summary>
[MemoryDiagnoser]
public class PrefixLookup
{
    private const int BlockSize = 16;
    private const int Blocks = 125;

    private readonly PrefixMatch _match = new();
    private readonly Dictionary<UInt128, int> _byDigest = [];
    private int[] _tokens = [];
    private BlockManager _manager = null!;

    /// <summary>Other prompts in the cache: with 64 it is as full as that of a server and no longer in the nearest cache of the processor.</summary>
    [Params(0, 64)]
    public int Others { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        _manager = new BlockManager((Others + 1) * (Blocks + 1) + 1, BlockSize, hostBlockCount: 0, prefixCaching: true, hashSeed: 1);
        Random random = new(1);
        for (int i = 0; i <= Others; i++)
        {
            _tokens = [.. Enumerable.Range(0, Blocks * BlockSize + 1).Select(_ => random.Next(128_000))];
            BlockTable table = new();
            _match.Clear();
            if (!_manager.TryReserve(table, _match, _tokens.Length, margin: 0))
                throw new InvalidOperationException("the pool is too small");
            _manager.Index(table, _tokens, salt: 0, _tokens.Length);
            DigestChain(add: true);
        }
    }

    [Benchmark(OperationsPerInvoke = Blocks)]
    public int HashAndLookUp()
    {
        _manager.Match(_tokens, salt: 0, _match);
        return _match.BlockCount == Blocks ? Blocks : throw new InvalidOperationException($"{_match.BlockCount} of {Blocks} blocks were found");
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Blocks)]
    public int Sha256AndDictionary() => DigestChain(add: false);

    /// <summary>Adds the blocks of the prompt or counts those that are known.</summary>
    private int DigestChain(bool add)
    {
        Span<byte> text = stackalloc byte[16 + BlockSize * sizeof(int)], digest = stackalloc byte[32];
        digest.Clear();
        int found = 0;
        for (int i = 0; i < Blocks; i++)
        {
            digest[..16].CopyTo(text);
            MemoryMarshal.AsBytes(_tokens.AsSpan(i * BlockSize, BlockSize)).CopyTo(text[16..]);
            SHA256.HashData(text, digest);
            UInt128 key = BinaryPrimitives.ReadUInt128LittleEndian(digest);
            if (add)
                _byDigest.Add(key, i + 1);
            else if (_byDigest.ContainsKey(key))
                found++;
        }
        return found;
    }
}
