using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>One request as the world knows it: what it asked the scheduler for, and what must come of it whatever the schedule.</summary>
internal sealed class Request
{
    private readonly Alone[] _alone;
    private readonly BeamsAlone? _beams;
    private readonly FinishReason[] _ends;
    private readonly bool[] _cancelled; // before it existed
    private int _openCount;

    public Request(SequenceGroup group, int vocabulary)
    {
        Group = group;
        Sequence first = group.First;
        if (group.Beams is not null)
            _beams = new BeamsAlone(first.Tokens, first.MaxOutputCount, first.EndIds, first.Sampling, vocabulary);
        int width = group.Beams is null ? group.Width : 0;
        _alone = new Alone[width];
        for (int i = 0; i < width; i++)
            _alone[i] = new Alone(first.Tokens, first.MaxOutputCount, Sequence.SeedOf(first.Seed, i), first.EndIds, vocabulary);
        _ends = new FinishReason[width];
        _cancelled = new bool[width];
        _openCount = width;
    }

    public SequenceGroup Group { get; }

    /// <summary>Why it must be over by now; None if it must go on.</summary>
    public FinishReason End { get; private set; }

    /// <summary>State before the step was planned.</summary>
    public GroupState StateBefore { get; private set; }

    /// <summary>Before the step was planned: its known tokens were being computed.</summary>
    public bool WasPrefilling { get; private set; }

    /// <summary>Before the step was planned: nothing can be planned for it.</summary>
    public bool WasAwaiting { get; private set; }

    /// <summary>Requests of the same key and priority that started although they came later.</summary>
    public int OvertakenCount { get; set; }

    /// <summary>What sharing saved, counted here.</summary>
    public long LogicalBlocks { get; set; }

    public long PhysicalBlocks { get; set; }

    /// <summary>One of its rows failed, so what it stored may be garbage.</summary>
    public bool IsPoisoned { get; set; }

    /// <summary>For a registered prefix: it was released before it was computed.</summary>
    public bool IsReleased { get; set; }

    /// <summary>Notes what a plan may change.</summary>
    public void NoteState() => (StateBefore, WasPrefilling, WasAwaiting) = (Group.State, Group.IsPrefilling, Group.AwaitsResult);

    /// <summary>It was ended from outside.</summary>
    public void Finish(FinishReason reason) => End = reason;

    /// <summary>One of its sequences was cancelled. Those that do not exist yet end with their first token, beams not at all.</summary>
    public void Cancel(int index)
    {
        if (Group.Beams is not null || _ends[index] != FinishReason.None)
            return;
        if (Group.AwaitsForks)
            _cancelled[index] = true;
        else
            EndSequence(index, FinishReason.Cancelled);
    }

    /// <summary>Takes over a row of a step. False if the sequence had ended before.</summary>
    public bool Take(in ScheduledSequence row, bool failed)
    {
        if (End != FinishReason.None || (_beams is null && _ends[row.Sequence.Index] != FinishReason.None))
            return false;
        Promise.Hold(!failed || IsPoisoned, $"sequence {Group.Arrival}.{row.Sequence.Index} read what another request's failure left behind");
        if (failed)
            End = FinishReason.Error;
        else if (row.Samples && !row.IsBeam)
            Draw(row.Sequence);
        return true;
    }

    /// <summary>Takes over a step of its search.</summary>
    public void TakeBeams()
    {
        if (End != FinishReason.None)
            return;
        _beams!.Advance();
        if (_beams.IsOver)
            End = FinishReason.Stop;
    }

    /// <summary>The scheduler's view of it is the one it must have.</summary>
    public void Check()
    {
        if (Group.Pin is not null && End == FinishReason.Length && (IsReleased || Group.StateAtEnd != GroupState.Running))
            End = FinishReason.Error; // computed, but there is nothing to keep
        if (Group.Pin is PinnedPrefix pin && End == FinishReason.Length)
            Promise.Hold(pin.Table.Count == pin.BlockCount, $"{pin.Name} keeps {pin.Table.Count} of {pin.BlockCount} blocks");
        Promise.Hold(Group.State == GroupState.Finished == (End != FinishReason.None) && Group.FinishReason == End,
            $"request {Group.Arrival} is {Group.State} with {Group.FinishReason}, expected {End}");
        if (End != FinishReason.None)
            CheckEnd();
        else if (_beams is not null)
            CheckBeams(_beams.Running);
        else
            CheckSequences();
    }

    private void Draw(Sequence sequence)
    {
        int index = sequence.Index;
        _alone[index].Draw();
        FinishReason reason = _alone[index].End;
        if (reason == FinishReason.None && _cancelled[index])
            reason = FinishReason.Cancelled;
        if (reason != FinishReason.None)
            EndSequence(index, reason);
        Promise.Hold(sequence.Tokens.SequenceEqual(_alone[index].Tokens), $"sequence {Group.Arrival}.{index} drew other tokens than alone");
        Promise.Hold(reason == FinishReason.None || sequence.FinishReason == reason,
            $"sequence {Group.Arrival}.{index} ended with {sequence.FinishReason}, expected {reason}");
    }

    private void EndSequence(int index, FinishReason reason)
    {
        _ends[index] = reason;
        if (--_openCount == 0)
            End = reason;
    }

    private void CheckEnd()
    {
        foreach (Sequence sequence in Group.Live)
            Promise.Hold(sequence is { Slot: -1, Blocks.Count: 0 }, $"sequence {Group.Arrival}.{sequence.Index} ended with {sequence.Blocks.Count} blocks in slot {sequence.Slot}");
        if (_beams is not { IsOver: true } || End != FinishReason.Stop)
            return;
        IReadOnlyList<BeamHypothesis> found = Group.Beams!.Hypotheses;
        Promise.Hold(found.Count == _beams.Finished.Count, $"request {Group.Arrival} found {found.Count} hypotheses, expected {_beams.Finished.Count}");
        for (int i = 0; i < found.Count; i++)
        {
            (int[] tokens, float score) = _beams.Finished[i];
            Promise.Hold(found[i].Score == score && found[i].Tokens.AsSpan().SequenceEqual(tokens.AsSpan(Group.First.PromptCount)),
                $"hypothesis {i} of request {Group.Arrival} is another than alone");
        }
    }

    private void CheckSequences()
    {
        bool forked = _alone[0].Tokens.Length > Group.First.PromptCount || Group.Live.Length > 1 || Group.Width == 1;
        int next = 0;
        foreach (Sequence sequence in Group.Live)
        {
            while (next < _ends.Length && _ends[next] != FinishReason.None)
                next++;
            Promise.Hold(sequence.Index == next++, $"request {Group.Arrival} goes on with sequence {sequence.Index}, expected {next - 1}");
            Promise.Hold(sequence.Tokens.SequenceEqual(_alone[sequence.Index].Tokens), $"sequence {Group.Arrival}.{sequence.Index} holds other tokens than it drew");
        }
        Promise.Hold(Group.Live.Length == (forked ? _openCount : 1), $"request {Group.Arrival} has {Group.Live.Length} sequences, expected {_openCount}");
    }

    private void CheckBeams(List<BeamsAlone.Beam> running)
    {
        Promise.Hold(Group.Live.Length == running.Count, $"request {Group.Arrival} has {Group.Live.Length} beams, expected {running.Count}");
        for (int i = 0; i < running.Count; i++)
            Promise.Hold(Group.Live[i].Tokens.SequenceEqual(running[i].Tokens) && Group.Live[i].Cumulative == running[i].Cumulative,
                $"beam {i} of request {Group.Arrival} is another than alone");
    }
}
