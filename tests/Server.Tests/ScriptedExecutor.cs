using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Server.Tests;

/// <summary>
/// A model without arithmetic: output token i of a prompt is byte i of a text that goes round, entered at a place the prompt decides.
/// A token depends on its own sequence only, as the engine's law demands: parallel samples enter the text at places of their own, unless they are
/// greedy. Prompts that hold <see cref="Poison"/> give a row that is not finite.
/// </summary>
internal sealed class ScriptedExecutor(ByteTokenizer bytes) : IStepExecutor
{
    /// <summary>A prompt token (a byte that UTF-8 never has) that makes the first row fail.</summary>
    public const int Poison = 256;

    /// <summary>A prompt token that makes the row fail after three tokens.</summary>
    public const int LatePoison = 257;

    /// <summary>A prompt token after which EOS follows three tokens.</summary>
    public const int Short = 258;

    /// <summary>Log-probability of every token of a parallel sample: the fifth is the best, then the third.</summary>
    private static readonly float[] Logprobs = [-0.25f, -0.5f, -0.125f, -0.75f, -0.0625f];

    private const string Text = "The small fox 🦊 found a café by the river, and it said: “こんにちは”. Then the stop came. ";
    private readonly byte[] _text = System.Text.Encoding.UTF8.GetBytes(Text);

    /// <summary>Time a step takes.</summary>
    public TimeSpan StepTime { get; set; }

    public void Launch(StepPlan plan)
    {
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        if (StepTime > TimeSpan.Zero)
            Thread.Sleep(StepTime);
        for (int i = 0; i < plan.Sequences.Length; i++)
        {
            ref readonly ScheduledSequence scheduled = ref plan.Sequences[i];
            ref SampledToken token = ref result.Tokens[i];
            token = new SampledToken { Token = -1 };
            if (scheduled.Sequence.Sampling.PromptLogprobs is int alternatives && scheduled.Start + 1 < scheduled.Sequence.PromptCount)
                token.PromptLogprobs = PromptLogprobs(scheduled, alternatives);
            if (scheduled.Samples)
                Draw(scheduled.Sequence, ref token);
        }
        for (int i = 0; i < plan.Beams.Length; i++)
            Search(plan.Sequences.Slice(plan.Beams[i].FirstRow, plan.Beams[i].RowCount), result.Candidates(i)[..plan.Beams[i].CandidateCount]);
    }

    public void Dispose()
    {
    }

    private void Draw(Sequence sequence, ref SampledToken token)
    {
        ReadOnlySpan<int> prompt = sequence.Tokens[..sequence.PromptCount];
        token.Failed = prompt.Contains(Poison) || (prompt.Contains(LatePoison) && sequence.OutputCount >= 3);
        if (token.Failed)
            return;
        bool ends = prompt.Contains(Short) && sequence.OutputCount >= 3 && !sequence.Sampling.IgnoreEos;
        int sample = sequence.Sampling.Temperature > 0 ? sequence.Index : 0;
        token.Token = ends ? ByteTokenizer.Eos : bytes.Id((char)_text[(Start(prompt, sample) + sequence.OutputCount) % _text.Length]);
        token.Rank = 1;
        token.Logprob = Logprobs[sequence.Index % Logprobs.Length];
        if (sequence.Sampling.Logprobs is int count)
            token.TopLogprobs = Alternatives(token.Token, count);
    }

    /// <summary>The first byte of a code point, so that an output never begins inside one.</summary>
    private int Start(ReadOnlySpan<int> prompt, int sample)
    {
        uint hash = 17 + ((uint)sample * 7919);
        foreach (int id in prompt)
            hash = (hash * 31) + (uint)id;
        int start = (int)(hash % (uint)_text.Length);
        while ((_text[start] & 0xC0) == 0x80)
            start = (start + 1) % _text.Length;
        return start;
    }

    /// <summary>
    /// Continuations of beams: for every beam one token per candidate, each less probable than the one before by what the beam's tokens say. Where
    /// the prompt holds <see cref="Short"/>, the best one is EOS from the fourth token on.
    /// </summary>
    private static void Search(ReadOnlySpan<ScheduledSequence> rows, Span<BeamCandidate> candidates)
    {
        List<BeamCandidate> all = [];
        for (int row = 0; row < rows.Length; row++)
        {
            Sequence beam = rows[row].Sequence;
            int step = 1 + (beam.Tokens[^1] % 3);
            bool ends = beam.Tokens[..beam.PromptCount].Contains(Short) && beam.OutputCount >= 3;
            for (int i = 0; i < candidates.Length; i++)
            {
                float logprob = -0.125f * step * (i + 1);
                int token = ends && i == 0 ? ByteTokenizer.Eos : ByteTokenizer.FirstByte + 'A' + i;
                all.Add(new BeamCandidate(row, token, beam.Cumulative + logprob, logprob));
            }
        }
        List<BeamCandidate> best = [.. all.OrderByDescending(static c => c.Cumulative).Take(candidates.Length)];
        for (int i = 0; i < candidates.Length; i++)
            candidates[i] = best[i];
    }

    private static TokenLogprob[] Alternatives(int token, int count) =>
        [.. Enumerable.Range(0, count).Select(i => new TokenLogprob(i == 0 ? token : ByteTokenizer.FirstByte + i, i == 3 ? float.NegativeInfinity
            : -0.25f - i))];

    private static PromptLogprob[] PromptLogprobs(in ScheduledSequence scheduled, int alternatives)
    {
        // Computing token p tells the log-probability of token p + 1.
        int first = scheduled.Start + 1;
        int end = Math.Min(first + scheduled.Count, scheduled.Sequence.PromptCount);
        Sequence sequence = scheduled.Sequence;
        return [.. Enumerable.Range(first, Math.Max(0, end - first))
            .Select(p => new PromptLogprob(sequence.Tokens[p], -1.5f, 2, Alternatives(sequence.Tokens[p], alternatives)))];
    }
}
