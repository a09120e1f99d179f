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
        int blocksEach = (PromptTokens / BlockSize) + 2, blockCount = 1 + (Running * blocksEach), tokens = Running * PromptTokens;
        RunnerLimits limits = new(Running, tokens, blocksEach * BlockSize, BlockSize);
        _buffers = new StepBuffers(_device, limits, blockCount, Vocabulary);
        Scheduler scheduler = new(new SchedulerLimits { BlockCount = blockCount, BlockSize = BlockSize, SequencesMax = Running, TokensMax = tokens });
        _plan = new StepPlan(Running, copiesMax: 0);
        int[] prompt = [.. Enumerable.Range(1, PromptTokens)];
        for (int i = 0; i < Running; i++)
            scheduler.Add(new Sequence(i + 1, prompt, new SamplingParams(), seed: 1, maxOutputCount: 16));
        StepResult result = new(Running);
        scheduler.Plan(_plan);
        FillAndUpload(); // the prompts, with all their block tables
        result.Tokens[.._plan.Sequences.Length].Fill(new SampledToken { Token = 5 });
        scheduler.Commit(_plan, result);
        scheduler.Plan(_plan);
        if (_plan.TokenCount != Running)
            throw new InvalidOperationException($"found {_plan.TokenCount} tokens planned, needed one for each of {Running} sequences");
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
        _buffers.Fill(_plan, [], _stream.Ops);
        _buffers.Upload(_plan, _plan.Sequences.Length, _stream.Ops);
        _stream.Synchronize();
    }
}
