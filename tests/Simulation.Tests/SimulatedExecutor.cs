using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests;

/// <summary>
/// A device without a device. It keeps, like a real one, what was written into each KV slot, and the token it draws depends on the
/// whole cache that the plan lets a sequence see. A wrong block, a slot reused too early or a forgotten recomputation changes the token.
/// </summary>
internal sealed class SimulatedExecutor(int blockCount, int blockSize, int slots) : IStepExecutor
{
    private readonly ulong[] _cache = new ulong[(long)blockCount * blockSize]; // one hash per token slot
    private readonly Sequence?[] _slots = new Sequence?[slots];

    /// <summary>Decides whether a row fails.</summary>
    public Func<Sequence, bool> Spoil { get; set; } = static _ => false;

    /// <summary>What a model would write into the cache for a token at a position, given everything before it.</summary>
    public static ulong Write(ulong before, int token, int position) => Mix(before ^ Mix(((ulong)(uint)token << 32) | (uint)position));

    /// <summary>Share of one position in what the last token attends to.</summary>
    public static ulong Weigh(ulong written, int position) => written * (2 * (ulong)position + 1);

    /// <summary>What a sequence draws when it attends to this sum over all positions.</summary>
    public static int Draw(ulong attended, ulong seed) => (int)(Mix(attended ^ seed) % 997);

    public void Run(StepPlan plan, StepResult result)
    {
        for (int i = 0; i < plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref plan.Sequences[i];
            Sequence sequence = row.Sequence;
            if (row.IsNewInSlot)
                _slots[sequence.Slot] = sequence;
            if (_slots[sequence.Slot] != sequence)
                throw new InvalidOperationException($"slot {sequence.Slot} belongs to another sequence than {sequence.Arrival}");
            ulong hash = row.Start == 0 ? 0 : _cache[SlotOf(sequence, row.Start - 1)];
            for (int position = row.Start; position < row.Start + row.Count; position++)
            {
                hash = Write(hash, sequence.Tokens[position], position);
                _cache[SlotOf(sequence, position)] = hash;
            }
            result.Tokens[i] = new SampledToken { Token = row.Samples ? Draw(Attend(sequence), sequence.Seed) : -1, Failed = Spoil(sequence) };
        }
    }

    public void Dispose()
    {
    }

    private ulong Attend(Sequence sequence)
    {
        ulong sum = 0;
        for (int position = 0; position < sequence.TokenCount; position++)
            sum += Weigh(_cache[SlotOf(sequence, position)], position);
        return sum;
    }

    private long SlotOf(Sequence sequence, int position)
    {
        int block = sequence.Blocks[position / blockSize];
        if (block <= 0 || block >= blockCount)
            throw new InvalidOperationException($"sequence {sequence.Arrival} has block {block} at position {position}");
        return (long)block * blockSize + position % blockSize;
    }

    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15UL;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }
}
