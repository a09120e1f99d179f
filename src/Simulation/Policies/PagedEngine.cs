using NativeLM.Engine;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>
/// The real scheduler and block manager, driven with requests of a trace: the one place that knows their interface. Settings of the paper's engine in
/// 2023 or our defaults, as the scenario says.
/// </summary>
internal sealed class PagedEngine : IDisposable
{
    private readonly Scenario _scenario;
    private readonly Scheduler _scheduler;
    private readonly SimulatedExecutor _executor;
    private readonly Step _step;
    private readonly SamplingParams _sampling;
    private readonly List<SequenceGroup> _ended = [];

    public PagedEngine(Scenario scenario, SimClock clock)
    {
        _scenario = scenario;
        SchedulerLimits limits = Limits(scenario);
        _scheduler = new Scheduler(limits, clock);
        _executor = new SimulatedExecutor(scenario, clock);
        _step = new Step(limits);
        _sampling = scenario.IsBeam ? new SamplingParams { N = scenario.Width, UseBeamSearch = true, Temperature = 0 }
            : new SamplingParams { N = scenario.Width };
        AdmissionsMax = limits.SequencesMax;
    }

    /// <summary>Most requests that can start in a step: feeding more than that ahead changes nothing.</summary>
    public int AdmissionsMax { get; }

    /// <summary>True if nothing runs or waits.</summary>
    public bool IsIdle => _scheduler.IsIdle;

    /// <summary>Requests given to it that have not run.</summary>
    public int WaitingCount => _scheduler.Waiting.Count;

    /// <summary>Requests in the last step.</summary>
    public int RunningCount { get; private set; }

    /// <summary>True if the last step computed prompts.</summary>
    public bool ComputedPrompts { get; private set; }

    /// <summary>Output tokens of the last step.</summary>
    public int DrawnCount => _executor.DrawnCount;

    /// <summary>Blocks in use in the last step.</summary>
    public int UsedBlocks { get; private set; }

    /// <summary>Blocks of all tables in the last step; more than <see cref="UsedBlocks"/> where blocks are shared.</summary>
    public long LogicalBlocks { get; private set; }

    /// <summary>Slots of the last step's blocks that hold nothing.</summary>
    public long EmptySlots { get; private set; }

    /// <summary>Preemptions so far.</summary>
    public long PreemptionCount => _scheduler.Preemption.Count;

    /// <summary>Share of prompt tokens that came from the prefix cache.</summary>
    public double PrefixHitShare => _scheduler.Blocks.QueriedTokens == 0 ? 0 : (double)_scheduler.Blocks.HitTokens / _scheduler.Blocks.QueriedTokens;

    /// <summary>Takes a request of the trace; its number is its place in the trace.</summary>
    public void Add(int number, in TraceRequest request)
    {
        // The seed names the text that a sequence is cut from; the executor draws from it.
        long text = SimulatedExecutor.TextOf(number, request);
        Sequence sequence = new(number, SimulatedExecutor.Prompt(number, request), _sampling, (ulong)text, request.Output);
        _scheduler.Add(new SequenceGroup(sequence));
    }

    /// <summary>Plans, pays for and commits a step; adds the requests that drew their first token, and those that ended.</summary>
    public void Step(List<int> started, List<int> ended)
    {
        _scheduler.Plan(_step.Plan);
        _executor.Launch(_step.Plan);
        Observe();
        ComputedPrompts = false;
        foreach (ref readonly ScheduledSequence row in _step.Plan.Sequences)
        {
            ComputedPrompts |= row.Count > 1;
            if (row.Samples && row.Count > 0 && row.Start + row.Count == row.Sequence.PromptCount)
                started.Add((int)row.Sequence.Arrival);
        }
        _executor.Collect(_step.Plan, _step.Result);
        _scheduler.Commit(_step.Plan, _step.Result);
        _scheduler.TakeEnded(_ended);
        foreach (SequenceGroup group in _ended)
            ended.Add((int)group.Arrival);
        _ended.Clear();
    }

    public void Dispose() => _executor.Dispose();

    private void Observe()
    {
        long logical = 0, empty = 0;
        foreach (SequenceGroup group in _scheduler.Running)
            foreach (Sequence sequence in group.Live)
            {
                logical += sequence.Blocks.Count;
                empty += (long)sequence.Blocks.Count * _scenario.BlockSize - sequence.ComputedCount;
            }
        (RunningCount, UsedBlocks, LogicalBlocks, EmptySlots) = (_scheduler.Running.Length, _scheduler.Blocks.Pool.UsedCount, logical, empty);
    }

    private static SchedulerLimits Limits(Scenario scenario)
    {
        bool isPaper = scenario.Policy == ServingPolicy.Paper;
        CostModel costs = scenario.Costs();
        return new SchedulerLimits
        {
            BlockCount = scenario.Slots / scenario.BlockSize + 1, // and the null block
            BlockSize = scenario.BlockSize,
            SequencesMax = scenario.SequencesMax,
            TokensMax = scenario.TokensMax,
            HostBlockCount = (int)(scenario.SwapBytes / ((double)scenario.Model.KvBytesPerToken * scenario.BlockSize)),
            PrefixCaching = scenario.PrefixCache ?? !isPaper,
            PreemptionMode = isPaper ? PreemptionMode.ByGroupSize : PreemptionMode.Auto,
            Costs = isPaper ? null : new PreemptionCosts(costs.StepSeconds, costs.TokenSeconds, secondsPerCopy: 0, secondsPerBlock: costs.Swap(1)),
            SeparatesPrefills = isPaper,
            ChunksPrefills = !isPaper,
            OvertakesMax = isPaper ? 0 : 16,
        };
    }
}
