using BenchmarkDotNet.Attributes;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Benchmarks.Host;

/// <summary>Plan and commit of one steady decode step; nothing arrives, nothing ends.</summary>
[MemoryDiagnoser]
public class SchedulerStep
{
    // Below the room a new sequence has for output tokens, so that the step itself is measured and not the growth of token lists.
    private const int Steps = 48;

    private Scheduler _scheduler = null!;
    private StepPlan _plan = null!;
    private StepResult _result = null!;

    [Params(16, 256, 1024)]
    public int Running { get; set; }

    [IterationSetup]
    public void Fill()
    {
        SchedulerLimits limits = new() { BlockCount = 1 + Running * 16, BlockSize = 16, SequencesMax = Running, TokensMax = Running * 16 };
        _scheduler = new Scheduler(limits);
        _plan = new StepPlan(Running, copiesMax: 0);
        _result = new StepResult(Running);
        for (int i = 0; i < Running; i++)
            _scheduler.Add(new SequenceGroup(new Sequence(i + 1, [1, 2, 3, 4, 5, 6, 7, 8], new SamplingParams(), seed: 1, maxOutputCount: 128)));
        Step();
    }

    [Benchmark(OperationsPerInvoke = Steps)]
    public void PlanAndCommit()
    {
        for (int i = 0; i < Steps; i++)
            Step();
    }

    private void Step()
    {
        _scheduler.Plan(_plan);
        _result.Tokens[.._plan.Sequences.Length].Fill(new SampledToken { Token = 5 });
        _scheduler.Commit(_plan, _result);
    }
}
