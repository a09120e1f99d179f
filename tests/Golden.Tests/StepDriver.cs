using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests;

/// <summary>What the driver saw of one sequence.</summary>
internal sealed class DrivenSequence(Sequence sequence)
{
    public Sequence Sequence { get; } = sequence;

    public List<float> Logprobs { get; } = [];

    public List<TokenLogprob[]> Alternatives { get; } = [];

    /// <summary>Of prompt tokens 1, 2, …</summary>
    public SortedDictionary<int, PromptLogprob> PromptLogprobs { get; } = [];

    public bool Failed { get; set; }

    public bool IsDone => Failed || Sequence.OutputCount >= Sequence.MaxOutputCount;

    public int[] Output => Sequence.Tokens[Sequence.PromptCount..].ToArray();

    /// <summary>Tokens and the bits of every log-probability: equal for equal arithmetic only.</summary>
    public string Fingerprint => string.Join(' ', Output) + "|" + Bits(Logprobs)
        + "|" + Bits(Alternatives.SelectMany(row => row).Select(entry => entry.Logprob))
        + "|" + Bits(PromptLogprobs.Values.Select(entry => entry.Logprob));

    /// <summary>Takes over what a step computed and drew for it.</summary>
    public void Take(in ScheduledSequence scheduled, in SampledToken drawn)
    {
        Sequence.ComputedCount = scheduled.Start + scheduled.Count;
        foreach ((PromptLogprob entry, int i) in (drawn.PromptLogprobs ?? []).Select((entry, i) => (entry, i)))
            PromptLogprobs[scheduled.Start + i + 1] = entry;
        Failed |= drawn.Failed;
        if (!scheduled.Samples || drawn.Failed)
            return;
        Sequence.Append(drawn.Token);
        Logprobs.Add(drawn.Logprob);
        if (drawn.TopLogprobs is not null)
            Alternatives.Add(drawn.TopLogprobs);
    }

    private static string Bits(IEnumerable<float> values) =>
        string.Join(' ', values.Select(value => BitConverter.SingleToUInt32Bits(value).ToString("x8")));
}

/// <summary>A scheduler for tests: every sequence runs in every step that has budget, prompts in chunks, blocks in scattered order.</summary>
internal sealed class StepDriver
{
    private readonly ModelRunner _runner;
    private readonly int _chunk;
    private readonly StepPlan _plan;
    private readonly StepResult _result;
    private readonly List<int> _freeBlocks;
    private readonly Stack<int> _freeSlots;
    private readonly List<DrivenSequence> _running = [];

    public StepDriver(ModelRunner runner, int chunk = int.MaxValue, int seed = 1)
    {
        _runner = runner;
        _chunk = chunk;
        _plan = new StepPlan(runner.MaxSequences, 16);
        _result = new StepResult(runner.MaxSequences);
        int[] blocks = [.. Enumerable.Range(1, runner.KvBlockCount - 1)];
        new Random(seed).Shuffle(blocks);
        _freeBlocks = [.. blocks];
        _freeSlots = new Stack<int>(Enumerable.Range(0, runner.MaxSequences));
    }

    public int StepCount { get; private set; }

    /// <summary>Rows of the graph that the last step replayed; 0 if its operations were called.</summary>
    public int LastReplay { get; private set; }

    public DrivenSequence Add(ReadOnlySpan<int> prompt, SamplingParams sampling, int outputCount, ulong seed = 7, int[]? endIds = null)
    {
        DrivenSequence driven = new(new Sequence(_running.Count, prompt, sampling, seed, outputCount, endIds));
        _running.Add(driven);
        return driven;
    }

    /// <summary>Steps until every sequence is done. <paramref name="beforeStep"/> may preempt.</summary>
    public void Run(Action<StepDriver>? beforeStep = null)
    {
        while (_running.Exists(driven => !driven.IsDone))
        {
            beforeStep?.Invoke(this);
            Step();
        }
    }

    /// <summary>Plans, runs and commits one step.</summary>
    public void Step()
    {
        _plan.Clear();
        foreach (DrivenSequence driven in _running)
            if (!driven.IsDone && _plan.TokenCount < _runner.MaxBatchedTokens)
                Schedule(driven.Sequence);
        _runner.Run(_plan, _result);
        StepCount++;
        LastReplay = _result.IsReplay ? _result.BatchRows : 0;
        for (int i = 0; i < _plan.Sequences.Length; i++)
            Commit(_plan.Sequences[i], _result.Tokens[i]);
    }

    /// <summary>Takes blocks and slot away; the sequence is computed again from its first token.</summary>
    public void Preempt(DrivenSequence driven)
    {
        Sequence sequence = driven.Sequence;
        if (sequence.Slot < 0)
            return;
        Release(sequence);
        sequence.ComputedCount = 0;
    }

    private void Release(Sequence sequence)
    {
        foreach (int block in sequence.Blocks.Blocks)
            _freeBlocks.Insert(_freeBlocks.Count / 2, block);
        sequence.Blocks.Truncate(0);
        _freeSlots.Push(sequence.Slot);
        sequence.Slot = -1;
    }

    private void Schedule(Sequence sequence)
    {
        bool isNew = sequence.Slot < 0;
        if (isNew && _freeSlots.Count == 0)
            return;
        if (isNew)
            sequence.Slot = _freeSlots.Pop();
        int left = sequence.TokenCount - sequence.ComputedCount;
        int count = Math.Min(Math.Min(left, _chunk), _runner.MaxBatchedTokens - _plan.TokenCount);
        while (sequence.Blocks.Count * _runner.BlockSize < sequence.ComputedCount + count)
        {
            sequence.Blocks.Add(_freeBlocks[^1]);
            _freeBlocks.RemoveAt(_freeBlocks.Count - 1);
        }
        _plan.Add(new ScheduledSequence
        {
            Sequence = sequence,
            Start = sequence.ComputedCount,
            Count = count,
            Samples = count == left,
            IsNewInSlot = isNew,
        });
    }

    private void Commit(in ScheduledSequence scheduled, in SampledToken drawn)
    {
        Sequence sequence = scheduled.Sequence;
        DrivenSequence driven = _running.Find(candidate => candidate.Sequence == sequence)!;
        driven.Take(scheduled, drawn);
        if (driven.IsDone)
            Release(sequence);
    }
}
