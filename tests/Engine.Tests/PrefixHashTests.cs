using NativeLM.Engine.Memory;
using Xunit;

namespace NativeLM.Tests;

public sealed class PrefixHashTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(16)]
    [InlineData(128)]
    public void Every_token_of_a_block_and_of_its_prefix_counts(int blockSize)
    {
        PrefixHash hash = new(seed: 3, blockSize);
        int[] tokens = [.. Enumerable.Range(1000, blockSize)];
        HashSet<UInt128> seen = [hash.Next(hash.Root(0), tokens), hash.Next(hash.Root(1), tokens), hash.Next(hash.Next(hash.Root(0), tokens), tokens)];
        for (int i = 0; i < blockSize; i++)
            for (int bit = 0; bit < 32; bit++)
            {
                int[] other = [.. tokens];
                other[i] ^= 1 << bit;
                Assert.True(seen.Add(hash.Next(hash.Root(0), other)), $"bit {bit} of token {i} of {blockSize} does not count");
            }
    }

    [Fact]
    public void The_same_seed_gives_the_same_hash_and_another_seed_another()
    {
        int[] tokens = [.. Enumerable.Range(0, 16)];
        UInt128 Of(UInt128 seed) => new PrefixHash(seed, 16) is var hash ? hash.Next(hash.Root(5), tokens) : 0;
        Assert.Equal(Of(1), Of(1));
        Assert.Equal(4, new[] { Of(0), Of(1), Of((UInt128)1 << 64), Of(UInt128.MaxValue) }.Distinct().Count());
    }

    [Fact]
    public void Similar_blocks_spread_over_buckets_as_random_ones_would()
    {
        PrefixHash hash = new(seed: 9, blockSize: 16);
        int[] counts = new int[1024];
        int[] tokens = new int[16];
        for (int i = 0; i < 64 * 1024; i++)
        {
            tokens[i % 16] = i; // neighbours differ in one token
            counts[(int)(ulong)hash.Next(hash.Root(0), tokens) & 1023]++;
        }
        double chiSquare = counts.Sum(count => Math.Pow(count - 64, 2) / 64);
        Assert.InRange(chiSquare, 1023 - (5 * Math.Sqrt(2 * 1023)), 1023 + (5 * Math.Sqrt(2 * 1023)));
    }
}
