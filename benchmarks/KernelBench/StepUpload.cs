using BenchmarkDotNet.Attributes;
using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Interop;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>What a steady decode step writes for the device, and its one copy there.</summary>
[MemoryDiagnoser]
public class StepUpload
{
    private const int BlockSize = 16;
    private const int PromptTokens = 1000;
    private const int StepTokens = 2048;
    private const int OutputTokens = 400; // more than the steps it takes to read all prompts
    private const int Vocabulary = 32000;

    private Device _device = null!;
    private DeviceStream _stream = null!;
    private StepBuffers _buffers = null!;
    private StepPlan _plan = null!;

    public static IEnumerable<Backend> Present => Backends.Present;

    [ParamsSource(nameof(Present))]
    public Backend Backend { get; set; }

    [Params(1, 64, 256)]
    public int Running { get; set; }

    [GlobalSetup]
    public void PlanDecodeStep()
    {
        _device = Backends.Open(Backend);
        _stream = _device.CreateStream();
        int blocksEach = ((PromptTokens + OutputTokens) / BlockSize) + 1, blockCount = 1 + (Running * blocksEach);
        RunnerLimits limits = new(Running, StepTokens, blocksEach * BlockSize, BlockSize);
        _buffers = new StepBuffers(_device, limits, blockCount, Vocabulary);
        Scheduler scheduler = new(new SchedulerLimits { BlockCount = blockCount, BlockSize = BlockSize, SequencesMax = Running, TokensMax = StepTokens });
        _plan = new StepPlan(Running, copiesMax: 0);
        int[] prompt = [.. Enumerable.Range(1, PromptTokens)];
        for (int i = 0; i < Running; i++)
            scheduler.Add(new SequenceGroup(new Sequence(i + 1, prompt, new SamplingParams(), seed: 1, maxOutputCount: OutputTokens)));
        StepResult result = new(Running);
        scheduler.Plan(_plan);
        while (_plan.Sequences.Length < Running || _plan.TokenCount > Running)
        {
            FillAndUpload(); // prompts, with their block tables
            result.Tokens[.._plan.Sequences.Length].Fill(new SampledToken { Token = 5 });
            scheduler.Commit(_plan, result);
            scheduler.Plan(_plan);
        }
    }

    [GlobalCleanup]
    public void Close()
    {
        _buffers.Dispose();
        _stream.Dispose();
        _device.Dispose();
    }

    [Benchmark]
    public void FillAndUpload()
    {
        int sequences = _buffers.Fill(_plan, [], _stream.Ops);
        _buffers.Upload(_plan, sequences, _plan.Sequences.Length, _stream.Ops);
        _stream.Synchronize();
    }
}
