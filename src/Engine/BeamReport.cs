using NativeLM.Engine.Scheduling;

namespace NativeLM.Engine;

/// <summary>Turns the outcome of a beam search into events: beam after beam, best first. Engine thread only.</summary>
internal static class BeamReport
{
    public static void Publish(BeamSearch beams, Generation generation)
    {
        int count = Math.Min(generation.SequenceCount, beams.Hypotheses.Count);
        float[] scores = new float[count];
        for (int index = 0; index < count; index++)
        {
            scores[index] = beams.Hypotheses[index].Score;
            Publish(beams.Hypotheses[index], index, generation);
        }
        generation.BeamScores = scores;
    }

    private static void Publish(BeamHypothesis beam, int index, Generation generation)
    {
        ReadOnlySpan<int> tokens = beam.Tokens;
        for (int i = 0; i < tokens.Length; i++)
        {
            bool isLast = i == tokens.Length - 1, stopped = isLast && beam.IsStopped;
            generation.PublishLast(new TokenEvent
            {
                Index = index,
                TokenId = stopped ? -1 : tokens[i],
                StopTokenId = stopped ? tokens[i] : -1,
                FinishReason = !isLast ? FinishReason.None : stopped ? FinishReason.Stop : FinishReason.Length,
            });
        }
    }
}
