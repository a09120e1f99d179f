using System.Numerics;
using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The buddy allocator of the Orca baselines.</summary>
public sealed class BuddyAllocatorTests
{
    [Theory]
    [InlineData(15_728, 7)] // OPT-13B
    [InlineData(9_693, 4)] // OPT-66B
    [InlineData(60_074, 29)] // OPT-175B
    public void The_papers_pools_seat_as_many_full_contexts_as_the_paper_says(int slots, int seats)
    {
        BuddyAllocator memory = new(slots);
        int taken = 0;
        while (memory.TryTake(2048, out _))
            taken++;
        Assert.Equal(seats, taken);
        Assert.Equal(slots - seats * 2048, memory.FreeSlots);
    }

    [Fact]
    public void A_prompt_of_1024_with_any_output_takes_2048()
    {
        BuddyAllocator memory = new(4096);
        Assert.True(memory.TryTake(1024 + 1, out int chunk));
        Assert.Equal(2048, memory.FreeSlots);
        memory.Free(chunk, 1025);
        Assert.Equal(4096, memory.FreeSlots);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_takes_and_frees_agree_with_a_naive_model(ulong seed)
    {
        SimRandom random = new(seed);
        int slots = 1 + random.NextInt(5000);
        BuddyAllocator memory = new(slots);
        NaiveBuddies naive = new(slots);
        List<(int Address, int Slots)> held = [];
        for (int step = 0; step < 20_000; step++)
        {
            if (held.Count > 0 && random.NextInt(2) == 0)
            {
                int i = random.NextInt(held.Count);
                memory.Free(held[i].Address, held[i].Slots);
                naive.Free(held[i].Address, held[i].Slots);
                held.RemoveAt(i);
            }
            else
            {
                int want = 1 + random.NextInt(slots / 4 + 1);
                bool taken = memory.TryTake(want, out int address);
                Assert.Equal(naive.Take(want), taken ? address : null);
                if (taken)
                    held.Add((address, want));
            }
            Assert.Equal(naive.FreeSlots, memory.FreeSlots);
        }
        held.ForEach(chunk => memory.Free(chunk.Address, chunk.Slots));
        Assert.Equal(slots, memory.FreeSlots);
    }

    [Fact]
    public void A_chunk_is_freed_once()
    {
        BuddyAllocator memory = new(64);
        Assert.True(memory.TryTake(8, out int first));
        Assert.True(memory.TryTake(8, out int _));
        memory.Free(first, 8);
        Assert.Throws<InvalidOperationException>(() => memory.Free(first, 8));
    }

    /// <summary>A flag per slot; a chunk is any aligned power of two inside one of the pool's own chunks, all of whose slots are free.</summary>
    private sealed class NaiveBuddies(int slots)
    {
        private readonly bool[] _used = new bool[slots];

        public int FreeSlots => _used.Count(u => !u);

        // The smallest free buddy that fits is cut; of equal ones the lowest.
        public int? Take(int want)
        {
            int size = (int)BitOperations.RoundUpToPowerOf2((uint)want);
            (int Address, int Size)? best = Chunks().Where(c => c.Size >= size).OrderBy(c => c.Size).ThenBy(c => c.Address)
                .Cast<(int, int)?>().FirstOrDefault();
            if (best is null)
                return null;
            _used.AsSpan(best.Value.Address, size).Fill(true);
            return best.Value.Address;
        }

        public void Free(int address, int want) => _used.AsSpan(address, (int)BitOperations.RoundUpToPowerOf2((uint)want)).Clear();

        // Maximal free aligned chunks, found by asking every slot anew.
        private IEnumerable<(int Address, int Size)> Chunks()
        {
            int top = 0;
            for (int order = BitOperations.Log2((uint)_used.Length); order >= 0; order--)
                if ((_used.Length & (1 << order)) != 0)
                {
                    foreach ((int, int) chunk in Below(top, 1 << order))
                        yield return chunk;
                    top += 1 << order;
                }
        }

        private IEnumerable<(int Address, int Size)> Below(int address, int size)
        {
            if (!_used.AsSpan(address, size).Contains(true))
                return [(address, size)];
            return size == 1 ? [] : Below(address, size / 2).Concat(Below(address + size / 2, size / 2));
        }
    }
}
