using System.Diagnostics;
using Microsoft.Extensions.Logging;
using NativeLM.Engine.Diagnostics;
using NativeLM.Engine.Models;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;
using NativeLM.Engine.Weights;
using NativeLM.Interop;
using BeamCandidate = NativeLM.Engine.Execution.BeamCandidate;
using Candidate = NativeLM.Interop.BeamCandidate;

namespace NativeLM.Engine.Execution;

/// <summary>
/// A loaded model on a device: runs planned steps. Everything is allocated at load; engine thread only. Steps use two host sides in turn:
/// the next one is filled and queued while the results of the one before are on their way.
/// </summary>
internal sealed unsafe class ModelRunner : IStepExecutor
{
    private readonly List<IDisposable> _owned; // in order of creation; disposed from the end
    private readonly DeviceStream _stream;
    private readonly KvPool _cache;
    private readonly StepBuffers _inputs;
    private readonly SamplerInputs _sampler;
    private readonly StepOutputs _outputs;
    private readonly BlockMoves _moves;
    private readonly Activations _memory;
    private readonly CausalLm _model;
    private readonly RunnerLimits _limits;
    private readonly SampleArgs _sample;
    private readonly FeedTokensArgs _feed;
    private readonly BeamTopkArgs _beamTopk;
    private readonly GraphCache? _graphs;
    private readonly Side[] _sides;
    private readonly int[] _drawnRows; // of the last launched plan: where in the results each of its rows has its token
    private long _launchCount;
    private long _collectCount;
    private long _lastDone; // timestamp of the last collection

    private ModelRunner(Loading load, Device device, DeviceBuffer weights, DeviceStream stream, EngineOptions options, List<IDisposable> owned)
    {
        _owned = owned;
        Config = load.Config;
        _limits = load.Sizing.Limits;
        _stream = stream;
        KvBlockCount = load.Sizing.BlockCount;
        BlockBytes = load.Sizing.Memory.BlockBytes;
        DType = load.Layout.Type;
        _inputs = Own(new StepBuffers(device, _limits, KvBlockCount, Config.VocabularySize));
        _sampler = Own(new SamplerInputs(device, _limits, Config.VocabularySize));
        _outputs = Own(new StepOutputs(device, _limits));
        _memory = Own(new Activations(device, Config, _limits, DType, load.WorkspaceBytes));
        _cache = Own(new KvPool(device, Config, DType, _limits.BlockSize, KvBlockCount)); // last of what is large: KvCacheSizing.Refused relies on it
        _moves = Own(new BlockMoves(device, _cache, load.Sizing.Memory.BlockBytes, load.Sizing.HostBlockCount));
        _model = Own(new CausalLm(Config, load.Layout, weights, _memory, _cache, _inputs, _limits, stream));
        _sample = SampleArguments();
        _feed = FeedArguments();
        _beamTopk = BeamArguments();
        _sides = [new Side(Own(device.CreateEvent())), new Side(Own(device.CreateEvent()))];
        _drawnRows = new int[_limits.MaxSequences];
        DeviceDescription = Loading.Describe(device);
        // On a CPU a call costs nothing against its work, and a launch returns when its work is done: running ahead would only delay tokens.
        bool isGpu = device.Library.Backend == Backend.Cuda;
        IsAsync = options.AsyncScheduling.IsOn(isGpu);
        if (options.Graphs.IsOn(isGpu))
            _graphs = Own(new GraphCache(stream, _limits.MaxSequences, rows => Compute(rows, rows, queryRows: 1, logitRows: rows)));
        StartupReport = [.. load.Report(device), $"steps: {(IsAsync ? "planned ahead" : "one at a time")}, "
            + (GraphCount > 0 ? $"{GraphCount} graphs of decode steps up to {_limits.MaxSequences} sequences" : "no graphs")];
    }

    public ModelConfig Config { get; }

    /// <summary>Element type of weights, activations and cache.</summary>
    public DType DType { get; }

    /// <summary>The element type as options spell it.</summary>
    public string TypeName => DType switch
    {
        DType.F32 => "float32",
        DType.F16 => "float16",
        _ => "bfloat16",
    };

    /// <summary>Whether steps should be launched before the tokens of the one before are known.</summary>
    public bool IsAsync { get; }

    /// <summary>Graphs of decode steps; 0 if every operation is called.</summary>
    public int GraphCount => _graphs?.Count ?? 0;

    /// <summary>The device in words.</summary>
    public string DeviceDescription { get; }

    public int VocabularySize => Config.VocabularySize;

    /// <summary>Longest sequence, prompt and output.</summary>
    public int MaxModelLength => _limits.MaxModelLength;

    public IReadOnlyList<int> EosTokenIds => Config.EosTokenIds;

    /// <summary>Blocks in the pool, ids 0 to KvBlockCount - 1; block 0 is never used.</summary>
    public int KvBlockCount { get; }

    /// <summary>Bytes of a block over all layers.</summary>
    public long BlockBytes { get; }

    /// <summary>Blocks of the host pool, ids from 0; 0 if there is none.</summary>
    public int HostBlockCount => _moves.HostBlockCount;

    /// <summary>What recomputing and swapping cost here; null where blocks cannot be swapped.</summary>
    public PreemptionCosts? Costs { get; private set; }

    public int BlockSize => _limits.BlockSize;

    public int MaxSequences => _limits.MaxSequences;

    public int MaxBatchedTokens => _limits.MaxBatchedTokens;

    /// <summary>Device, precision and the memory arithmetic, one line each.</summary>
    public IReadOnlyList<string> StartupReport { get; }

    /// <summary>
    /// Loads a model folder. Throws <see cref="ModelLoadException"/> (the folder), <see cref="EngineStartException"/> (device, memory),
    /// <see cref="ArgumentException"/> (an option out of range) or <see cref="NativeException"/> (the native library).
    /// </summary>
    public static ModelRunner Load(EngineOptions options, ILoggerFactory? loggers = null, IProgress<LoadProgress>? progress = null)
    {
        options.Validate();
        long start = Stopwatch.GetTimestamp();
        ModelFolder folder = new(options.ModelPath);
        ModelConfig config = ModelConfig.Load(folder);
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        List<IDisposable> owned = [];
        try
        {
            Device device = DeviceSelection.Open(options, out string? passedOver);
            owned.Add(device);
            Loading load = Loading.Plan(options, config, checkpoint, device) with { PassedOver = passedOver };
            ModelRunner runner = Build(load, device, checkpoint, options, owned, progress);
            if (runner.HostBlockCount > 0)
                runner.Costs = new CostProbe(runner, runner._moves, runner._stream).Measure();
            if (loggers?.CreateLogger<ModelRunner>() is ILogger logger && logger.IsEnabled(LogLevel.Information))
            {
                double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                EngineLog.Loaded(logger, options.ModelPath, milliseconds);
            }
            return runner;
        }
        catch
        {
            DisposeAll(owned);
            throw;
        }
    }

    private static ModelRunner Build(
        Loading load, Device device, Checkpoint checkpoint, EngineOptions options, List<IDisposable> owned, IProgress<LoadProgress>? progress)
    {
        try
        {
            DeviceBuffer weights = device.Allocate(load.Layout.Bytes);
            owned.Add(weights);
            DeviceStream stream = device.CreateStream();
            owned.Add(stream);
            WeightLoader.Fill(weights, checkpoint, load.Layout, stream, progress);
            return new ModelRunner(load, device, weights, stream, options, owned);
        }
        catch (DeviceOutOfMemoryException refusal)
        {
            throw load.Sizing.Refused(device.ReadInfo().MemoryBytesFree, refusal.Message);
        }
    }

    /// <inheritdoc/>
    public void Launch(StepPlan plan)
    {
        int side = (int)(_launchCount % 2);
        _sides[side].LaunchedAt = Stopwatch.GetTimestamp();
        try
        {
            Queue(plan, side);
        }
        catch
        {
            _stream.Synchronize(); // what was queued reads this side, which the next launch fills again
            throw;
        }
        _launchCount++;
    }

    /// <inheritdoc/>
    public void Collect(StepPlan plan, StepResult result)
    {
        int side = (int)(_collectCount++ % 2);
        _sides[side].Done.Synchronize();
        Observe(plan, _sides[side].LaunchedAt);
        Publish(plan, side, result.Tokens);
        if (!plan.Beams.IsEmpty)
            PublishBeams(plan, side, result);
        result.BatchRows = _sides[side].BatchRows;
        result.IsReplay = _sides[side].IsReplay;
    }

    /// <summary>A row of logits of the last piece computed, where the host can read the device (tests).</summary>
    internal ReadOnlySpan<float> LastLogits(int row) => new(_memory.Logits + ((long)row * _memory.LogitsStride), VocabularySize);

    /// <summary>The row of hidden values, after the final norm, that <see cref="LastLogits"/> came from. Float32 only.</summary>
    internal ReadOnlySpan<float> LastHidden(int row) => new((float*)_memory.PickedNormed + ((long)row * Config.HiddenSize), Config.HiddenSize);

    public void Dispose()
    {
        try
        {
            _stream.Synchronize(); // a step may be on its way
        }
        catch (NativeException)
        {
            // The device is lost: nothing runs on it, and what it held is gone.
        }
        DisposeAll(_owned);
    }

    private static void DisposeAll(List<IDisposable> owned)
    {
        for (int i = owned.Count - 1; i >= 0; i--)
            owned[i].Dispose();
        owned.Clear();
    }

    private T Own<T>(T resource)
        where T : IDisposable
    {
        _owned.Add(resource);
        return resource;
    }

    private SampleArgs SampleArguments() => _sampler.Fixed() with
    {
        Results = _outputs.Results,
        TopIds = _outputs.TopIds,
        TopValues = _outputs.TopValues,
        Logits = _memory.Logits,
        Parameters = _inputs.SampleRows,
        Workspace = _memory.Workspace,
        WorkspaceBytes = _memory.WorkspaceBytes,
        LogitsStride = _memory.LogitsStride,
    };

    private FeedTokensArgs FeedArguments() => new()
    {
        Ids = _inputs.Ids,
        Sources = _inputs.TokenSources,
        Results = _outputs.Results,
        Rows = _inputs.TokenCount,
        ResultRows = _limits.LogitRowsTotal,
        Vocabulary = VocabularySize,
    };

    private BeamTopkArgs BeamArguments() => new()
    {
        Candidates = _outputs.Candidates,
        Flags = _outputs.BeamFlags,
        Logits = _memory.Logits,
        RowStarts = _inputs.BeamStarts,
        Cumulative = _inputs.BeamScores,
        Workspace = _memory.Workspace,
        WorkspaceBytes = _memory.WorkspaceBytes,
        LogitsStride = _memory.LogitsStride,
        Vocabulary = VocabularySize,
    };

    /// <summary>Queues a whole step: uploads, computation, downloads, and the event that tells that all of it is done.</summary>
    private void Queue(StepPlan plan, int side)
    {
        Ops ops = _stream.Ops;
        _moves.Queue(plan, ops);
        _inputs.UseSide(side);
        _sampler.UseSide(side);
        int sequences = _inputs.Fill(plan, _drawnRows, ops), longest = LongestRow(plan);
        int logitRows = _sampler.Fill(plan, _inputs.HostLogitIndices, _inputs.HostSampleRows, _drawnRows, ops);
        _inputs.Upload(plan, sequences, logitRows, ops);
        // One token per sequence, and each draws: what the graphs recorded. Beams are found after it, in the logits that it left.
        bool isReplay = _graphs is not null && longest == 1 && plan.TokenCount == plan.Sequences.Length && logitRows == plan.TokenCount;
        BeamShape beams = BeamShape.Of(plan);
        if (isReplay)
        {
            _stream.Launch(_graphs!.GraphOf(plan.TokenCount));
            FindBeams(beams, ops);
        }
        else
            Compute(plan.TokenCount, sequences, longest, logitRows, beams);
        if (logitRows > 0)
            _outputs.Download(side, logitRows, NeedsAlternatives(plan), ops);
        if (beams.Groups > 0)
            _outputs.DownloadBeams(side, beams, ops);
        _sides[side].Done.Record(_stream);
        _sides[side].IsReplay = isReplay;
        _sides[side].BatchRows = isReplay ? _graphs!.BucketOf(plan.TokenCount) : plan.TokenCount;
    }

    /// <summary>Computes and draws. The numbers are what there is room for; true counts are in device memory.</summary>
    private void Compute(int tokens, int sequences, int queryRows, int logitRows, BeamShape beams = default)
    {
        Ops ops = _stream.Ops;
        ops.FeedTokens(_feed with { RowsMax = tokens });
        _model.Forward(tokens, sequences, queryRows);
        for (int piece = 0; piece * _limits.LogitRowsMax < logitRows; piece++)
        {
            Draw(piece, Math.Min(_limits.LogitRowsMax, logitRows - (piece * _limits.LogitRowsMax)), ops);
            if (piece == 0)
                FindBeams(beams, ops);
        }
    }

    /// <summary>The best continuations of each group of beams. Their logits are the first rows of the piece that was computed last.</summary>
    private void FindBeams(BeamShape beams, Ops ops)
    {
        if (beams.Groups > 0)
            ops.BeamTopk(_beamTopk with { GroupsMax = beams.Groups, RowsMax = beams.Rows, Count = beams.Candidates });
    }

    private void Draw(int piece, int count, Ops ops)
    {
        _model.Logits(piece, count);
        RowCount rows = _model.LogitRows(piece, count);
        int first = piece * _limits.LogitRowsMax;
        ops.Sample(_sample with
        {
            RowsMax = rows.Max,
            Rows = rows.Count,
            Results = _sample.Results + first,
            TopIds = _sample.TopIds + ((long)first * RunnerLimits.TopLogprobsMax),
            TopValues = _sample.TopValues + ((long)first * RunnerLimits.TopLogprobsMax),
            Parameters = _sample.Parameters + first,
        });
    }

    private static int LongestRow(StepPlan plan)
    {
        int longest = 0;
        foreach (ref readonly ScheduledSequence scheduled in plan.Sequences)
            longest = Math.Max(longest, scheduled.Count);
        return longest;
    }

    private static bool NeedsAlternatives(StepPlan plan)
    {
        foreach (ref readonly ScheduledSequence scheduled in plan.Sequences)
            if (scheduled.Sequence.Sampling is { Logprobs: > 0 } or { PromptLogprobs: > 0 })
                return true;
        return false;
    }

    // In the order in which SamplerInputs.Fill laid the rows.
    private void Publish(StepPlan plan, int side, Span<SampledToken> tokens)
    {
        int row = BeamShape.Of(plan).Rows;
        for (int s = 0; s < plan.Sequences.Length; s++)
        {
            ref readonly ScheduledSequence scheduled = ref plan.Sequences[s];
            SampledToken token = new() { Token = -1 };
            int forced = SamplerInputs.PromptRows(scheduled);
            if (forced > 0)
                token.PromptLogprobs = ReadPrompt(scheduled, side, row, forced, ref token.Failed);
            row += forced;
            if (scheduled.Samples && !scheduled.IsBeam)
                ReadDrawn(scheduled.Sequence.Sampling, side, row++, ref token);
            tokens[s] = token;
        }
    }

    private void PublishBeams(StepPlan plan, int side, StepResult result)
    {
        BeamShape shape = BeamShape.Of(plan);
        int firstRow = 0;
        for (int group = 0; group < plan.Beams.Length; group++)
        {
            BeamRows beams = plan.Beams[group];
            result.BeamFailed(group) = _outputs.BeamFailed(side, group);
            ReadOnlySpan<Candidate> found = _outputs.CandidatesOf(side, shape, group)[..beams.CandidateCount];
            Span<BeamCandidate> candidates = result.Candidates(group);
            for (int i = 0; i < found.Length; i++)
                candidates[i] = new BeamCandidate(found[i].Row - firstRow, found[i].Token, found[i].Score, found[i].Logprob);
            firstRow += beams.RowCount;
        }
    }

    /// <summary>Corrects the costs of preemption by a step with a prompt in it. A step begins when the one before is over.</summary>
    private void Observe(StepPlan plan, long launchedAt)
    {
        long now = Stopwatch.GetTimestamp();
        if (Costs is not null && LongestRow(plan) > 1)
            Costs.ObserveStep(plan.TokenCount, plan.SwapOuts.Length + plan.SwapIns.Length,
                Stopwatch.GetElapsedTime(Math.Max(launchedAt, _lastDone), now).TotalSeconds);
        _lastDone = now;
    }

    private PromptLogprob[] ReadPrompt(in ScheduledSequence scheduled, int side, int row, int count, ref bool failed)
    {
        PromptLogprob[] logprobs = new PromptLogprob[count];
        for (int i = 0; i < count; i++)
        {
            SampleResult result = _outputs.Result(side, row + i);
            failed |= result.Flags != 0;
            logprobs[i] = new PromptLogprob(scheduled.Sequence.Tokens[scheduled.Start + i + 1], result.Logprob, result.Rank,
                _outputs.Alternatives(side, row + i, scheduled.Sequence.Sampling.PromptLogprobs ?? 0));
        }
        return logprobs;
    }

    private void ReadDrawn(SamplingParams sampling, int side, int row, ref SampledToken token)
    {
        SampleResult result = _outputs.Result(side, row);
        token.Failed |= result.Flags != 0 || result.Token < 0;
        if (token.Failed)
            return;
        token.Token = result.Token;
        token.Logprob = result.Logprob;
        token.Rank = result.Rank;
        if (sampling.Logprobs is int count)
            token.TopLogprobs = _outputs.Alternatives(side, row, count);
    }

    /// <summary>What a launched step leaves for its collection.</summary>
    private sealed class Side(DeviceEvent done)
    {
        public DeviceEvent Done { get; } = done;

        /// <summary>Timestamp of its launch.</summary>
        public long LaunchedAt { get; set; }

        public int BatchRows { get; set; }

        public bool IsReplay { get; set; }
    }
}
