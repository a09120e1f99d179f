using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// A device without a device. It keeps, like a real one, what was written into each KV slot, and the token it draws depends on the
/// whole cache that the plan lets a sequence see. A wrong block, a slot reused too early or a forgotten recomputation changes the token.
/// A launched step is only noted down, as an upload would be; it runs when it is collected, after whatever the scheduler did meanwhile.
/// A token that the host does not know is taken from what the step before drew.
/// </summary>
internal sealed class SimulatedExecutor(int blockCount, int blockSize, int slots) : IStepExecutor
{
    private readonly ulong[] _cache = new ulong[(long)blockCount * blockSize]; // one hash per token slot
    private readonly Sequence?[] _slots = new Sequence?[slots];
    private readonly Queue<Row[]> _launched = [];
    private int[] _drawn = []; // by the step before, row by row

    /// <summary>Decides whether a row fails.</summary>
    public Func<Sequence, bool> Spoil { get; set; } = static _ => false;

    /// <summary>What a model would write into the cache for a token at a position, given everything before it.</summary>
    public static ulong Write(ulong before, int token, int position) => Mix(before ^ Mix(((ulong)(uint)token << 32) | (uint)position));

    /// <summary>Share of one position in what the last token attends to.</summary>
    public static ulong Weigh(ulong written, int position) => written * (2 * (ulong)position + 1);

    /// <summary>What a sequence draws when it attends to this sum over all positions.</summary>
    public static int Draw(ulong attended, ulong seed) => (int)(Mix(attended ^ seed) % 997);

    public void Launch(StepPlan plan)
    {
        Row[] rows = new Row[plan.Sequences.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            ref readonly ScheduledSequence planned = ref plan.Sequences[i];
            Sequence sequence = planned.Sequence;
            if (planned.IsNewInSlot)
                _slots[sequence.Slot] = sequence;
            if (_slots[sequence.Slot] != sequence)
                throw new InvalidOperationException($"slot {sequence.Slot} belongs to another sequence than {sequence.Arrival}");
            int end = planned.Start + planned.Count;
            int[] tokens = sequence.Tokens[planned.Start..(planned.TokenSource is null ? end : end - 1)].ToArray();
            rows[i] = new Row(sequence, tokens, planned.Start, planned.TokenSource, planned.Samples, sequence.Blocks.Blocks.ToArray());
        }
        _launched.Enqueue(rows);
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        Row[] rows = _launched.Dequeue();
        int[] drawn = new int[rows.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            drawn[i] = Compute(rows[i]);
            result.Tokens[i] = new SampledToken { Token = drawn[i], Failed = Spoil(rows[i].Sequence) };
        }
        _drawn = drawn;
    }

    public void Dispose()
    {
    }

    private int Compute(Row row)
    {
        int[] tokens = row.Source is int source ? [.. row.Tokens, _drawn[source]] : row.Tokens;
        ulong hash = row.Start == 0 ? 0 : _cache[SlotOf(row, row.Start - 1)];
        for (int i = 0; i < tokens.Length; i++)
        {
            hash = Write(hash, tokens[i], row.Start + i);
            _cache[SlotOf(row, row.Start + i)] = hash;
        }
        if (!row.Samples)
            return -1;
        ulong sum = 0;
        for (int position = 0; position < row.Start + tokens.Length; position++)
            sum += Weigh(_cache[SlotOf(row, position)], position);
        return Draw(sum, row.Sequence.Seed);
    }

    private long SlotOf(Row row, int position)
    {
        int block = row.Blocks[position / blockSize];
        if (block <= 0 || block >= blockCount)
            throw new InvalidOperationException($"sequence {row.Sequence.Arrival} has block {block} at position {position}");
        return (long)block * blockSize + position % blockSize;
    }

    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15UL;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }

    /// <summary>A row of a plan as it was when it was launched.</summary>
    private sealed record Row(Sequence Sequence, int[] Tokens, int Start, int? Source, bool Samples, int[] Blocks);
}
