using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Diagnostics;

/// <summary>Turns what happens on the engine thread into metrics. Reads the clock a few times per step, never per token. Engine thread only.</summary>
internal sealed class StepRecorder(EngineMetrics metrics, EngineHealth health, TimeProvider time, long blockBytes)
{
    private long _begun;
    private long _planned;
    private long _computed;

    /// <summary>A turn begins.</summary>
    public void Begin() => _begun = time.GetTimestamp();

    /// <summary>The plan is made.</summary>
    public void Planned() => _planned = _computed = time.GetTimestamp();

    /// <summary>A request's first step was planned.</summary>
    public void Started(Generation generation)
    {
        generation.Times.HasStarted = true;
        generation.Times.Started = _planned;
        metrics.QueueTime.Observe(Seconds(generation.Times.Arrived, _planned));
    }

    /// <summary>The executor has returned.</summary>
    public void Computed()
    {
        _computed = time.GetTimestamp();
        health.ObserveStep(time.GetElapsedTime(_planned, _computed));
    }

    /// <summary>A token was drawn.</summary>
    public void Token(Generation generation)
    {
        ref RequestTimes times = ref generation.Times;
        if (times.TokenCount++ == 0)
        {
            times.FirstToken = _computed;
            metrics.PromptTokens.Add(generation.PromptTokenCount);
            metrics.PromptTokensCached.Add(generation.CachedTokenCount);
            metrics.TimeToFirstToken.Observe(Seconds(times.Arrived, _computed));
            metrics.PrefillTime.Observe(Seconds(times.Started, _computed));
        }
        else if (times.LastToken != _computed) // sequences of one request draw in the same step
            metrics.InterTokenLatency.Observe(Seconds(times.LastToken, _computed));
        times.LastToken = _computed;
        metrics.GenerationTokens.Add();
    }

    /// <summary>A request ended.</summary>
    public void Ended(Generation generation, FinishReason reason)
    {
        RequestTimes times = generation.Times;
        long now = time.GetTimestamp();
        metrics.Ended(reason).Add();
        if (reason == FinishReason.DeadlineExceeded)
            metrics.DeadlinesExceeded.Add();
        if (times.TokenCount > 0 && generation.Group.Key is KeyQueue key)
            metrics.TokensOf(key.Name).Add(generation.PromptTokenCount - generation.CachedTokenCount + times.TokenCount);
        metrics.EndToEnd.Observe(Seconds(times.Arrived, now));
        metrics.RequestPromptTokens.Observe(generation.PromptTokenCount);
        metrics.RequestGenerationTokens.Observe(times.TokenCount);
        metrics.RequestSequences.Observe(generation.SequenceCount);
        metrics.RequestMaxTokens.Observe(generation.Group.First.MaxOutputCount);
        if (times.HasStarted)
            metrics.InferenceTime.Observe(Seconds(times.Started, now));
        if (times.TokenCount > 0)
            metrics.DecodeTime.Observe(Seconds(times.FirstToken, times.LastToken));
        if (times.TokenCount > 1)
            metrics.TimePerOutputToken.Observe(Seconds(times.FirstToken, times.LastToken) / (times.TokenCount - 1));
    }

    /// <summary>A step is committed and published.</summary>
    public void Count(Step step, Scheduler scheduler, AdmissionQueue queue)
    {
        long now = time.GetTimestamp();
        int tokens = step.Plan.TokenCount;
        metrics.Steps.Add();
        (step.Result.IsReplay ? metrics.GraphReplays : metrics.EagerSteps).Add();
        metrics.BatchRows.Add(step.Result.BatchRows);
        metrics.IterationTokens.Observe(tokens);
        metrics.ExecutorStep.Observe(Seconds(_planned, _computed));
        metrics.SchedulerStep.Observe(Seconds(_begun, _planned) + Seconds(_computed, now));
        queue.ObserveStep(tokens, time.GetElapsedTime(_begun, now));
        CountSlots(scheduler);
    }

    /// <summary>How much of the blocks that have an owner holds tokens (the paper's measure of waste, section 6.2).</summary>
    private void CountSlots(Scheduler scheduler)
    {
        long blocks = 0, tokens = 0;
        foreach (SequenceGroup group in scheduler.Running)
            foreach (Sequence sequence in group.Live)
            {
                blocks += sequence.Blocks.Count;
                tokens += sequence.ComputedCount;
            }
        metrics.KvSlotSteps.Add(blocks * scheduler.BlockSize);
        metrics.KvTokenSteps.Add(tokens);
    }

    /// <summary>Sets the gauges.</summary>
    public void Levels(Scheduler scheduler, AdmissionQueue queue)
    {
        metrics.RequestsRunning.Set(scheduler.Running.Length);
        metrics.RequestsWaiting.Set(scheduler.WaitingCount);
        metrics.QueueTokens.Set(queue.QueuedTokens);
        BlockPool pool = scheduler.Blocks.Pool;
        metrics.KvBlocksUsed.Set(pool.UsedCount);
        metrics.KvUsage.Set((double)pool.UsedCount / pool.UsableCount);
        metrics.Preemptions.Set(scheduler.Preemption.Count);
        metrics.PreemptionsByRecompute.Set(scheduler.Preemption.RecomputeCount);
        metrics.PreemptionsBySwap.Set(scheduler.Preemption.SwapCount);
        metrics.RecomputedTokens.Set(scheduler.Preemption.RecomputedTokenCount);
        metrics.SwapOutBytes.Set(scheduler.Preemption.SwappedOutBlockCount * blockBytes);
        metrics.SwapInBytes.Set(scheduler.Preemption.SwappedInBlockCount * blockBytes);
        metrics.KvBlocksEvictable.Set(pool.EvictableCount);
        metrics.KvBlocksShared.Set(pool.SharedCount);
        metrics.HostBlocksUsed.Set(scheduler.Blocks.Host.UsedCount);
        metrics.PrefixCacheQueries.Set(scheduler.Blocks.QueriedTokens);
        metrics.PrefixCacheHits.Set(scheduler.Blocks.HitTokens);
        metrics.CopiesOnWrite.Set(scheduler.Blocks.CopyCount);
    }

    /// <summary>A row's logits were not finite.</summary>
    public void FailedRow() => metrics.FailedRows.Add();

    /// <summary>A row was computed for a request that had ended.</summary>
    public void DroppedRow() => metrics.DroppedRows.Add();

    /// <summary>A reader was cut off.</summary>
    public void SlowReader() => metrics.SlowReaders.Add();

    /// <summary>The bookkeeping contradicts itself.</summary>
    public void InvariantFailure() => metrics.InvariantFailures.Add();

    private double Seconds(long from, long to) => time.GetElapsedTime(from, to).TotalSeconds;
}
