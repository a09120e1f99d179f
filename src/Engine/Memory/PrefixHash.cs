using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NativeLM.Engine.Memory;

/// <summary>
/// Keyed 128-bit hash of a chain of token blocks. A block's words are added to key words and multiplied in pairs, and the 128-bit
/// products are summed (the NH function of UMAC, RFC 4418); two multiplications with folded halves per output word then mix in the parent.
/// Whoever does not know the key meets a collision with a chance of about 2^-64. It only spreads entries over an index that compares
/// tokens: a collision costs time, never a wrong hit.
/// </summary>
internal sealed class PrefixHash
{
    private const int WordTokens = 2; // tokens in a 64-bit word
    private const int PairTokens = 2 * WordTokens;

    private readonly ulong[] _key;
    private readonly ulong[] _mix = new ulong[8];

    /// <param name="seed">Everything follows from it: random per process, fixed to replay a run.</param>
    /// <param name="blockSize">Tokens of a block, at least 1.</param>
    public PrefixHash(UInt128 seed, int blockSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        _key = new ulong[checked((blockSize + PairTokens - 1) / PairTokens * 2)];
        ulong low = (ulong)seed, high = (ulong)(seed >> 64);
        foreach (ref ulong word in _key.AsSpan())
            word = NextWord(ref low, ref high);
        foreach (ref ulong word in _mix.AsSpan())
            word = NextWord(ref low, ref high);
    }

    /// <summary>The secret words that are added to a block's words. Tests forge collisions with them.</summary>
    public ReadOnlySpan<ulong> Key => _key;

    /// <summary>Hash before the first block.</summary>
    /// <param name="salt">It is hashed as if it were four more tokens.</param>
    public UInt128 Root(UInt128 salt)
    {
        ulong low = 0, high = 0;
        AddProduct((ulong)salt + _key[0], (ulong)(salt >> 64) + _key[1], ref low, ref high);
        return Mix(low, high, UInt128.MaxValue);
    }

    /// <summary>Hash after one more block.</summary>
    /// <param name="parent">Hash before it.</param>
    /// <param name="tokens">Its tokens: one block.</param>
    public UInt128 Next(UInt128 parent, ReadOnlySpan<int> tokens)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<int, ulong>(tokens), key = _key;
        ulong low = 0, high = 0;
        int i = 0;
        for (; i + 1 < words.Length && i + 1 < key.Length; i += 2)
            AddProduct(words[i] + key[i], words[i + 1] + key[i + 1], ref low, ref high);
        if (i * WordTokens < tokens.Length)
        {
            ReadOnlySpan<int> rest = tokens[(i * WordTokens)..];
            AddProduct(Word(rest, 0) + key[i], Word(rest, WordTokens) + key[i + 1], ref low, ref high);
        }
        return Mix(low, high, parent);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddProduct(ulong x, ulong y, ref ulong low, ref ulong high)
    {
        ulong productHigh = Math.BigMul(x, y, out ulong productLow);
        low += productLow;
        high += productHigh + (low < productLow ? 1UL : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private UInt128 Mix(ulong low, ulong high, UInt128 parent)
    {
        ReadOnlySpan<ulong> mix = _mix;
        ulong parentLow = (ulong)parent, parentHigh = (ulong)(parent >> 64);
        return new UInt128(
            Fold(low ^ mix[0], parentLow ^ mix[1]) + Fold(high ^ mix[2], parentHigh ^ mix[3]),
            Fold(low ^ mix[4], parentHigh ^ mix[5]) + Fold(high ^ mix[6], parentLow ^ mix[7]));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong x, ulong y) => Math.BigMul(x, y, out ulong low) ^ low;

    /// <summary>Two tokens of the rest of a block that is no multiple of four; 0 past its end.</summary>
    private static ulong Word(ReadOnlySpan<int> tokens, int index) =>
        (index < tokens.Length ? (uint)tokens[index] : 0UL) | ((index + 1 < tokens.Length ? (ulong)(uint)tokens[index + 1] : 0UL) << 32);

    /// <summary>SplitMix64 (Steele, Lea and Flood, 2014) over both halves of the seed in turn.</summary>
    private static ulong NextWord(ref ulong low, ref ulong high)
    {
        low += 0x9E3779B97F4A7C15;
        (low, high) = (high, low);
        ulong z = low ^ ulong.RotateLeft(high, 32);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
