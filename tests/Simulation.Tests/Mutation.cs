using NativeLM.Engine;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests;

/// <summary>Damage that a bug in scheduler or pool would do, planted to prove that the world notices.</summary>
internal enum Mutant
{
    None,
    FreesABlockInUse,
    LeaksABlock,
    SharesAWrittenBlock,
    SwapsTwoBlocksOfATable,
    HoldsABlockTooFew,
    UsesASlotTwice,
    SkipsATokenOfAPrefill,
    HoldsABlockTwice,
    LosesAToken,
    EndsASequenceSilently,
    ForgetsThatOneEnded,
    FeedsTheTokenOfAnotherRow,
    ForgetsATokenInFlight,
}

internal static class Mutation
{
    /// <summary>True if only a scheduler that plans ahead can have this fault.</summary>
    public static bool NeedsAsync(Mutant mutant) => mutant is Mutant.FeedsTheTokenOfAnotherRow or Mutant.ForgetsATokenInFlight;

    /// <summary>Damages the running sequences; false if the state does not allow this damage yet.</summary>
    public static bool Apply(Mutant mutant, Scheduler scheduler)
    {
        if (mutant == Mutant.None || scheduler.Running.Length < 2)
            return false;
        Sequence first = scheduler.Running[0], second = scheduler.Running[1];
        switch (mutant)
        {
            case Mutant.FreesABlockInUse:
                scheduler.Pool.Release(first.Blocks[0]);
                return true;
            case Mutant.LeaksABlock:
                if (scheduler.Pool.FreeCount == 0)
                    return false;
                scheduler.Pool.Take();
                return true;
            case Mutant.SharesAWrittenBlock: // consistently counted: only the writes betray it
                scheduler.Pool.AddReference(Last(second));
                scheduler.Pool.Release(Last(first));
                first.Blocks.Replace(first.Blocks.Count - 1, Last(second));
                return true;
            case Mutant.SwapsTwoBlocksOfATable:
                if (first.ComputedCount == 0 || first.Blocks.Count < 2)
                    return false;
                int block = first.Blocks[0];
                first.Blocks.Replace(0, first.Blocks[1]);
                first.Blocks.Replace(1, block);
                return true;
            case Mutant.HoldsABlockTooFew:
                if (second.PendingCount < 2)
                    return false;
                scheduler.Pool.Release(Last(second));
                second.Blocks.Truncate(second.Blocks.Count - 1);
                return true;
            case Mutant.UsesASlotTwice:
                first.Slot = second.Slot;
                return true;
            case Mutant.SkipsATokenOfAPrefill:
                if (second.PendingCount < 2)
                    return false;
                second.ComputedCount++;
                return true;
            case Mutant.HoldsABlockTwice:
                if (second.Blocks.Count < 2)
                    return false;
                second.Blocks.Replace(0, Last(second));
                return true;
            case Mutant.LosesAToken:
                first.Append(first.Tokens[^1]);
                return true;
            case Mutant.EndsASequenceSilently:
                scheduler.Finish(second, FinishReason.Length);
                return true;
            case Mutant.ForgetsThatOneEnded:
                first.State = SequenceState.Finished;
                return true;
            case Mutant.FeedsTheTokenOfAnotherRow:
                if (first.InFlightCount == 0 || second.InFlightCount == 0 || first.AwaitsResult)
                    return false;
                first.InFlightRow = second.InFlightRow;
                return true;
            case Mutant.ForgetsATokenInFlight:
                if (first.InFlightCount == 0)
                    return false;
                first.InFlightCount = 0;
                return true;
            default:
                throw new ArgumentOutOfRangeException(nameof(mutant), mutant, null);
        }
    }

    private static int Last(Sequence sequence) => sequence.Blocks[sequence.Blocks.Count - 1];
}
