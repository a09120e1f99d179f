using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// One seeded life of a scheduler: sizes, arrivals, lengths, cancellations and failures all come from the seed, so a run replays
/// exactly. After every step the real bookkeeping is compared with a naive model of it. A first phase has faults; in a second one
/// arrivals and faults stop and everything must end within a computed number of steps. An asynchronous world plans and launches each
/// step before it takes over the one before; it draws the same tokens.
/// </summary>
internal sealed class World : IDisposable
{
    private readonly Random _random;
    private readonly int _blockSize;
    private readonly int _usable;
    private readonly int _sequencesMax;
    private readonly int _tokensMax;
    private readonly int _contextMax;
    private readonly double _arrivalRate;
    private readonly double _cancelRate;
    private readonly double _spoilRate;
    private readonly double _stepFailureRate;
    private readonly Scheduler _scheduler;
    private readonly SimulatedExecutor _executor;
    private readonly bool _isAsync;
    private readonly Step[] _steps;
    private Step? _inFlight;
    private readonly Dictionary<long, Expected> _live = [];
    private readonly HashSet<Sequence> _spoiled = [];
    private long _arrivals;

    public World(ulong seed, bool isAsync)
    {
        _isAsync = isAsync;
        _random = new Random((int)(seed ^ (seed >> 32)));
        _blockSize = 8 * _random.Next(1, 5);
        _usable = _random.Next(3, 200);
        _sequencesMax = _random.Next(1, 33);
        _tokensMax = _sequencesMax + _random.Next(0, 3) * _random.Next(1, 100);
        _contextMax = Math.Min(_random.Next(8, 400), _usable * _blockSize);
        _arrivalRate = Math.Pow(10, -2 * _random.NextDouble());
        _cancelRate = _random.Next(2) * 0.2 * _random.NextDouble();
        _spoilRate = _random.Next(2) * 0.02 * _random.NextDouble();
        _stepFailureRate = _random.Next(3) == 0 ? 0.01 : 0;
        _scheduler = new Scheduler(new SchedulerLimits
        {
            BlockCount = _usable + 1,
            BlockSize = _blockSize,
            SequencesMax = _sequencesMax,
            TokensMax = _tokensMax,
        });
        _executor = new SimulatedExecutor(_usable + 1, _blockSize, _sequencesMax) { Spoil = _spoiled.Contains };
        _steps = [new Step(_sequencesMax), new Step(_sequencesMax)];
    }

    public long StepCount { get; private set; }

    public long Preemptions => _scheduler.PreemptionCount;

    /// <summary>Rows computed for sequences that had ended.</summary>
    public long DroppedRows { get; private set; }

    /// <summary>Tokens that arrived for a sequence that had been preempted while they were in flight.</summary>
    public long LateTokens { get; private set; }

    public Dictionary<FinishReason, int> Ends { get; } = [];

    public void Dispose() => _executor.Dispose();

    /// <summary>Runs both phases. Throws at the first contradiction.</summary>
    public void Run(int faultySteps)
    {
        for (int step = 0; step < faultySteps; step++)
        {
            Arrive();
            Cancel();
            Step(faults: true);
        }
        long bound = LivenessBound();
        for (long step = 0; !_scheduler.IsIdle || _inFlight is not null; step++)
        {
            Require(step <= bound, $"not idle after {bound} steps without arrivals");
            Step(faults: false);
        }
        Require(_live.Count == 0, $"{_live.Count} sequences never ended");
        Require(_scheduler.Pool.UsedCount == 0, $"{_scheduler.Pool.UsedCount} blocks are held while idle");
        _scheduler.CheckInvariants();
    }

    private void Arrive()
    {
        int count = _random.NextDouble() < _arrivalRate ? (_random.Next(20) == 0 ? _random.Next(1, 40) : 1) : 0;
        for (int i = 0; i < count && _scheduler.Waiting.Length < 60; i++)
        {
            int prompt = _random.Next(1, _contextMax);
            int output = _random.Next(1, _contextMax - prompt + 1);
            int[] tokens = [.. Enumerable.Range(0, prompt).Select(_ => _random.Next(1000))];
            int[] endIds = _random.Next(2) == 0 ? [] : [_random.Next(997), _random.Next(997), _random.Next(997)];
            Sequence sequence = new(_arrivals++, tokens, new SamplingParams(), (ulong)_random.NextInt64(), output, endIds);
            _scheduler.Add(sequence);
            _live.Add(sequence.Arrival, new Expected(sequence));
        }
    }

    private void Cancel()
    {
        if (_random.NextDouble() >= _cancelRate || _live.Count == 0)
            return;
        Sequence victim = _live.Values.ElementAt(_random.Next(_live.Count)).Sequence;
        _scheduler.Finish(victim, FinishReason.Cancelled);
        _scheduler.Finish(victim, FinishReason.Cancelled); // a second time changes nothing
        Ended(victim, FinishReason.Cancelled);
    }

    private void Step(bool faults)
    {
        Sequence? oldest = _scheduler.Oldest;
        SequenceState oldestBefore = oldest?.State ?? SequenceState.Waiting;
        bool oldestAwaits = oldest?.AwaitsResult ?? true;
        long preemptionsBefore = Preemptions;
        Step next = _steps[0] == _inFlight ? _steps[1] : _steps[0];
        _scheduler.Plan(next.Plan);
        CheckPlan(next.Plan, oldest, oldestBefore, oldestAwaits);
        foreach (ref readonly ScheduledSequence row in next.Plan.Sequences)
            Require(!row.IsNewInSlot || Preemptions == preemptionsBefore, $"sequence {row.Sequence.Arrival} was admitted in a step that preempts");
        Step? done = next.Plan.IsEmpty ? null : next;
        if (done is not null)
            _executor.Launch(next.Plan);
        if (_isAsync)
            (done, _inFlight) = (_inFlight, done);
        if (done is null)
            return;
        StepCount++;
        TakeOver(done, faults);
        CheckState();
    }

    private void TakeOver(Step step, bool faults)
    {
        ReadOnlySpan<ScheduledSequence> rows = step.Plan.Sequences;
        _spoiled.Clear();
        if (faults)
            foreach (ref readonly ScheduledSequence row in rows)
                if (_random.NextDouble() < _spoilRate)
                    _spoiled.Add(row.Sequence);
        _executor.Collect(step.Plan, step.Result);
        if (faults && _random.NextDouble() < _stepFailureRate)
            Fail(rows);
        else
            Commit(step, rows);
    }

    /// <summary>Every sequence of the step that still lives ends with an error.</summary>
    private void Fail(ReadOnlySpan<ScheduledSequence> rows)
    {
        foreach (ref readonly ScheduledSequence row in rows)
        {
            if (!_live.ContainsKey(row.Sequence.Arrival))
                continue;
            _scheduler.Finish(row.Sequence, FinishReason.Error);
            Ended(row.Sequence, FinishReason.Error);
        }
    }

    private void Commit(Step step, ReadOnlySpan<ScheduledSequence> rows)
    {
        _scheduler.Commit(step.Plan, step.Result);
        foreach (ref readonly ScheduledSequence row in rows)
        {
            if (!_live.TryGetValue(row.Sequence.Arrival, out Expected? expected))
            {
                DroppedRows++;
                continue;
            }
            LateTokens += row.Samples && row.Sequence.State == SequenceState.Preempted ? 1 : 0;
            FinishReason reason = _spoiled.Contains(row.Sequence) ? FinishReason.Error : row.Samples ? expected.Draw() : FinishReason.None;
            Require(row.Sequence.FinishReason == reason, $"sequence {row.Sequence.Arrival} ended with {row.Sequence.FinishReason}, expected {reason}");
            Require(row.Sequence.Tokens.SequenceEqual(expected.Tokens), $"sequence {row.Sequence.Arrival} drew other tokens than alone");
            if (reason != FinishReason.None)
                Ended(row.Sequence, reason);
        }
    }

    private void Ended(Sequence sequence, FinishReason reason)
    {
        Require(_live.Remove(sequence.Arrival), $"sequence {sequence.Arrival} ended twice");
        Require(sequence is { State: SequenceState.Finished, Slot: -1, Blocks.Count: 0 } && sequence.FinishReason == reason,
            $"sequence {sequence.Arrival} ended as {sequence.State}, {sequence.FinishReason} with {sequence.Blocks.Count} blocks");
        Ends[reason] = Ends.GetValueOrDefault(reason) + 1;
    }

    /// <summary>Promises of a plan, checked before it runs.</summary>
    private void CheckPlan(StepPlan plan, Sequence? oldest, SequenceState oldestBefore, bool oldestAwaits)
    {
        ReadOnlySpan<ScheduledSequence> rows = plan.Sequences;
        Require(rows.Length <= _sequencesMax && plan.TokenCount <= _tokensMax, $"{rows.Length} sequences and {plan.TokenCount} tokens are planned");
        HashSet<(int, int)> written = [];
        HashSet<int> slots = [];
        int tokens = 0;
        bool oldestRuns = oldestAwaits;
        foreach (ref readonly ScheduledSequence row in rows)
        {
            Sequence sequence = row.Sequence;
            oldestRuns |= sequence == oldest;
            tokens += row.Count;
            CheckRow(row, sequence);
            Require(slots.Add(sequence.Slot) && sequence.Slot >= 0 && sequence.Slot < _sequencesMax, $"slot {sequence.Slot} is used twice");
            for (int position = row.Start; position < row.Start + row.Count; position++)
            {
                int block = sequence.Blocks[position / _blockSize];
                Require(_scheduler.Pool.References(block) == 1, $"block {block} is written with {_scheduler.Pool.References(block)} owners");
                Require(written.Add((block, position % _blockSize)), $"block {block} is written twice in one place");
            }
        }
        Require(tokens == plan.TokenCount, $"the plan counts {plan.TokenCount} tokens and has {tokens}");
        Require(oldestRuns, $"the oldest sequence {oldest?.Arrival} does not run");
        Require(oldest is null || oldestBefore != SequenceState.Running || oldest.State == SequenceState.Running, "the oldest was preempted");
    }

    /// <summary>A row goes on where the last one ended, knows where its token comes from, and draws no token beyond the limit.</summary>
    private void CheckRow(in ScheduledSequence row, Sequence sequence)
    {
        int end = row.Start + row.Count, known = sequence.TokenCount + (row.TokenSource is null ? 0 : 1);
        Require(row.Count >= 1 && end == sequence.ComputedCount && end <= known,
            $"sequence {sequence.Arrival} is planned for {row.Count} tokens from {row.Start} of {known}");
        Require(row.Samples == (end == known), $"sequence {sequence.Arrival} samples in the wrong step");
        Require(end < sequence.PromptCount + sequence.MaxOutputCount, $"sequence {sequence.Arrival} is planned beyond its last token");
        Require(sequence.State == SequenceState.Running, $"sequence {sequence.Arrival} is planned while {sequence.State}");
        if (row.TokenSource is not int source)
            return;
        Require(row.Count == 1 && _inFlight is not null, $"sequence {sequence.Arrival} takes a token from a step that is not in flight");
        ref readonly ScheduledSequence from = ref _inFlight!.Plan.Sequences[source];
        Require(from.Sequence == sequence && from.Samples && from.Start + from.Count == row.Start,
            $"sequence {sequence.Arrival} takes the token of another row");
    }

    /// <summary>The scheduler against the naive model: who lives, who holds how many blocks, in which order.</summary>
    private void CheckState()
    {
        _scheduler.CheckInvariants();
        Require(_scheduler.Running.Length + _scheduler.Waiting.Length == _live.Count, "lists and live sequences differ in number");
        long blocks = 0;
        foreach (Sequence sequence in _scheduler.Running)
        {
            Expected expected = _live[sequence.Arrival];
            Require(sequence.Tokens.SequenceEqual(expected.Tokens), $"sequence {sequence.Arrival} holds other tokens than it drew");
            // A prefill holds the blocks of all its tokens from the start; a decode's last token has no slot until it is planned.
            int stored = sequence.PendingCount > 1 ? sequence.ExpectedCount : sequence.ComputedCount;
            long held = KvDemand.Blocks(stored, _blockSize);
            Require(sequence.Blocks.Count == held || sequence.Blocks.Count == KvDemand.Blocks(sequence.ExpectedCount, _blockSize),
                $"sequence {sequence.Arrival} holds {sequence.Blocks.Count} blocks for {stored} stored tokens");
            blocks += sequence.Blocks.Count;
        }
        foreach (Sequence sequence in _scheduler.Waiting)
            Require(sequence.Tokens.SequenceEqual(_live[sequence.Arrival].Tokens), $"waiting sequence {sequence.Arrival} lost tokens");
        Require(blocks == _scheduler.Pool.UsedCount, $"tables hold {blocks} blocks, the pool counts {_scheduler.Pool.UsedCount}");
    }

    /// <summary>Most steps until everything has ended: the oldest always progresses, so they end at the latest one after another.</summary>
    private long LivenessBound()
    {
        long bound = 0;
        int chunk = Math.Max(1, _tokensMax - _sequencesMax + 1);
        foreach (Expected expected in _live.Values)
            bound += (expected.Sequence.PromptCount + expected.Sequence.MaxOutputCount) / chunk + expected.Sequence.MaxOutputCount + 2
                + (_isAsync ? 2 : 0); // its last result arrives a step late, and so does the next one's start
        return bound;
    }

    private static void Require(bool ok, string found)
    {
        if (!ok)
            throw new InvariantException(found);
    }

    /// <summary>What one sequence must do, computed alone and without a cache.</summary>
    private sealed class Expected
    {
        private readonly List<int> _tokens = [];
        private ulong _hash;
        private ulong _attended;

        public Expected(Sequence sequence)
        {
            Sequence = sequence;
            foreach (int token in sequence.Tokens)
                Append(token);
        }

        public Sequence Sequence { get; }

        public ReadOnlySpan<int> Tokens => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_tokens);

        public FinishReason Draw()
        {
            int token = SimulatedExecutor.Draw(_attended, Sequence.Seed);
            Append(token);
            if (Sequence.EndIds.Contains(token))
                return FinishReason.Stop;
            return _tokens.Count - Sequence.PromptCount == Sequence.MaxOutputCount ? FinishReason.Length : FinishReason.None;
        }

        private void Append(int token)
        {
            _hash = SimulatedExecutor.Write(_hash, token, _tokens.Count);
            _attended += SimulatedExecutor.Weigh(_hash, _tokens.Count);
            _tokens.Add(token);
        }
    }
}
