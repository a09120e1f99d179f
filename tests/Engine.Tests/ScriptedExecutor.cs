using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests;

/// <summary>Computes nothing: the next token is a function of the sequence. A test can hold steps back, change rows or throw.</summary>
internal sealed class ScriptedExecutor : IStepExecutor
{
    public const int Vocabulary = 1000;

    /// <summary>The token drawn after those of a sequence.</summary>
    public Func<Sequence, int> Next { get; set; } = static sequence => 10 + (sequence.Tokens[0] + sequence.TokenCount) % 500;

    /// <summary>Called before a step counts; may throw or wait.</summary>
    public Action<StepPlan>? BeforeStep { get; set; }

    /// <summary>Called for each row after the step; may spoil it.</summary>
    public ChangeRow? AfterRow { get; set; }

    public int StepCount { get; private set; }

    public bool IsDisposed { get; private set; }

    public delegate void ChangeRow(in ScheduledSequence row, ref SampledToken sampled);

    /// <summary>Called when a step is collected, before it draws; may throw or wait.</summary>
    public Action<StepPlan>? BeforeCollect { get; set; }

    public void Launch(StepPlan plan)
    {
        BeforeStep?.Invoke(plan);
        StepCount++;
    }

    // The step before was committed, so every token that a row computes is known by now.
    public void Collect(StepPlan plan, StepResult result)
    {
        BeforeCollect?.Invoke(plan);
        for (int i = 0; i < plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence row = ref plan.Sequences[i];
            ref SampledToken sampled = ref result.Tokens[i];
            sampled = new SampledToken { Token = row.Samples ? Next(row.Sequence) : -1, Logprob = -0.5f, Rank = 1 };
            AfterRow?.Invoke(row, ref sampled);
        }
    }

    public void Run(StepPlan plan, StepResult result)
    {
        Launch(plan);
        Collect(plan, result);
    }

    public void Dispose() => IsDisposed = true;
}
