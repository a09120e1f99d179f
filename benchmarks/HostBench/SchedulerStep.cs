using BenchmarkDotNet.Attributes;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Tests.Worlds;

namespace NativeLM.Benchmarks.Host;

/// <summary>
/// Plan and commit of one steady decode step; nothing arrives, nothing ends. Beside it the scheduler that is written with dictionaries, sets
/// and queries and plans the same steps (tests/Simulation.Tests compares the two).
/// </summary>
[MemoryDiagnoser, WarmupCount(5), IterationCount(30)]
public class SchedulerStep
{
    // Below the room a new sequence has for output tokens, so that the step itself is measured and not the growth of token lists.
    private const int Steps = 48;
    private const int WarmUpRounds = 100;
    private const int BlockSize = 16;
    private const int OutputMax = 128;

    private static readonly int[] Prompt = [1, 2, 3, 4, 5, 6, 7, 8];

    private Scheduler _scheduler = null!;
    private Step _step = null!;
    private OracleScheduler _oracle = null!;
    private int[] _tokens = null!;

    [Params(16, 256, 1024)]
    public int Running { get; set; }

    // An iteration is one call, far too few for the compiler to optimise what it calls.
    [GlobalSetup]
    public void WarmUp()
    {
        for (int round = 0; round < WarmUpRounds; round++)
        {
            Fill();
            PlanAndCommit();
            FillOracle();
            DictionariesAndQueries();
            Thread.Sleep(20); // for the compiler's own thread
        }
    }

    [IterationSetup(Target = nameof(PlanAndCommit))]
    public void Fill()
    {
        SchedulerLimits limits = new()
        {
            BlockCount = 1 + (Running * 16),
            BlockSize = BlockSize,
            SequencesMax = Running,
            TokensMax = Running * 16,
            PrefixCaching = true,
        };
        _scheduler = new Scheduler(limits);
        _step = new Step(limits);
        for (int i = 0; i < Running; i++)
            _scheduler.Add(new SequenceGroup(new Sequence(i + 1, Prompt, new SamplingParams(), seed: 1, OutputMax)));
        Step();
    }

    [IterationSetup(Target = nameof(DictionariesAndQueries))]
    public void FillOracle()
    {
        _oracle = new OracleScheduler(Running * 16, BlockSize, Running, Running * 16);
        _tokens = new int[Running];
        Array.Fill(_tokens, 5);
        for (int i = 0; i < Running; i++)
            _oracle.Add(i + 1, Prompt, OutputMax);
        StepOracle();
    }

    [Benchmark(OperationsPerInvoke = Steps)]
    public void PlanAndCommit()
    {
        for (int i = 0; i < Steps; i++)
            Step();
    }

    [Benchmark(OperationsPerInvoke = Steps, Baseline = true)]
    public void DictionariesAndQueries()
    {
        for (int i = 0; i < Steps; i++)
            StepOracle();
    }

    private void Step()
    {
        _scheduler.Plan(_step.Plan);
        _step.Result.Tokens[.._step.Plan.Sequences.Length].Fill(new SampledToken { Token = 5 });
        _scheduler.Commit(_step.Plan, _step.Result);
    }

    private void StepOracle() => _oracle.Commit(_oracle.Plan(), _tokens);
}
