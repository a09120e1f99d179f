using NativeLM.Engine.Memory;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// Turns the choice of a beam search into sequences and block tables (the paper's section 4.4): a beam with several continuations forks, one
/// without gives its blocks back. Nothing is copied here; who writes into a shared block later copies it. Engine thread only.
/// </summary>
internal sealed class BeamForks(BlockManager blocks, Stack<int> freeSlots)
{
    private readonly Sequence?[] _next = new Sequence?[SamplingParams.WidthMax];
    private readonly bool[] _continues = new bool[SamplingParams.WidthMax];

    /// <summary>Replaces the beams of a request by the continuations that its search chose, best first.</summary>
    public void Branch(SequenceGroup group)
    {
        ReadOnlySpan<BeamStep> steps = group.Beams!.Next;
        ReadOnlySpan<Sequence> beams = group.Live;
        Continue(beams, steps);
        ReleaseOthers(group, beams);
        for (int i = 0; i < steps.Length; i++)
            _next[i] ??= Fork(group, beams[steps[i].Parent]);
        for (int i = 0; i < steps.Length; i++)
        {
            Sequence sequence = _next[i]!;
            sequence.Append(steps[i].Token);
            sequence.Cumulative = steps[i].Cumulative;
        }
        group.Replace(_next.AsSpan(0, steps.Length)!);
        Array.Clear(_next, 0, steps.Length);
    }

    /// <summary>The best continuation of each beam keeps its sequence, blocks and slot.</summary>
    private void Continue(ReadOnlySpan<Sequence> beams, ReadOnlySpan<BeamStep> steps)
    {
        Array.Clear(_continues, 0, beams.Length);
        for (int i = 0; i < steps.Length; i++)
        {
            int parent = steps[i].Parent;
            _next[i] = _continues[parent] ? null : beams[parent];
            _continues[parent] = true;
        }
    }

    /// <summary>Before anything forks, so that there are slots and sequences for the forks.</summary>
    private void ReleaseOthers(SequenceGroup group, ReadOnlySpan<Sequence> beams)
    {
        for (int i = 0; i < beams.Length; i++)
        {
            if (_continues[i])
                continue;
            Sequence sequence = beams[i];
            blocks.Free(sequence.Blocks); // of a preempted request: nothing
            if (sequence.Slot >= 0)
                freeSlots.Push(sequence.Slot);
            sequence.Slot = -1;
            group.Spares.Push(sequence);
        }
    }

    private Sequence Fork(SequenceGroup group, Sequence parent)
    {
        Sequence child;
        if (group.Spares.TryPop(out Sequence? spare))
        {
            child = spare;
            child.CopyFrom(parent);
        }
        else
            child = parent.Fork(group.Live.Length);
        blocks.Fork(parent.Blocks, child.Blocks, parent.Blocks.Count);
        if (group.State != GroupState.Running)
            return child;
        child.Slot = freeSlots.Pop();
        child.IsNewInSlot = true;
        return child;
    }
}
