using NativeLM.Engine.Models;
using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>The sizes of a step, fixed at start.</summary>
/// <param name="MaxSequences">Sequences in one step, and slots.</param>
/// <param name="MaxBatchedTokens">Tokens in one step.</param>
/// <param name="MaxModelLength">Tokens of one sequence.</param>
/// <param name="BlockSize">Token slots of one KV block.</param>
internal sealed record RunnerLimits(int MaxSequences, int MaxBatchedTokens, int MaxModelLength, int BlockSize)
{
    /// <summary>Alternatives that a row of logits can report.</summary>
    public const int TopLogprobsMax = SamplingParams.LogprobsMax;

    /// <summary>Logit biases, end ids and stop ids that one sequence can have together.</summary>
    public const int BiasEntriesMax = 2 * SamplingParams.TokenListMax + 64; // 64: what ModelConfig allows in EOS ids

    /// <summary>Keys of one attention split: an engine constant, changing it changes bits.</summary>
    public const int SplitKeys = 256;

    /// <summary>Blocks of a sequence of full length.</summary>
    public int BlocksPerSequence => (int)(((long)MaxModelLength + BlockSize - 1) / BlockSize);

    /// <summary>Rows whose logits are computed at once; more (prompt log-probabilities) are done in pieces.</summary>
    public int LogitRowsMax => Math.Max(MaxSequences, Math.Min(MaxBatchedTokens, 64));

    /// <summary>Most rows of logits in a step: one for each token, and one for each sequence that draws from the logits of another.</summary>
    public int LogitRowsTotal => checked(MaxBatchedTokens + MaxSequences);

    /// <summary>Most pieces in which the logit rows of a step are computed.</summary>
    public int LogitPiecesMax => (LogitRowsTotal + LogitRowsMax - 1) / LogitRowsMax;

    /// <summary>Most requests with beams in a step: each is at least two sequences wide.</summary>
    public int BeamGroupsMax => Math.Max(1, MaxSequences / 2);

    public static RunnerLimits From(EngineOptions options, ModelConfig config, Backend backend)
    {
        if (options.MaxModelLength > config.PositionsMax)
            throw new EngineStartException(
                $"--max-model-len: found {options.MaxModelLength}, needed at most {config.PositionsMax} (max_position_embeddings of the model)");
        int sequences = options.MaxSequences ?? (backend == Backend.Cuda ? 256 : 128);
        // A chunk beside a full decode batch. On a CPU a step of 128 tokens already keeps the dot products busy, and longer ones only
        // lengthen the gap between the tokens of those who decode (docs/benchmarks/notes.md).
        int tokens = options.MaxBatchedTokens ?? (backend == Backend.Cuda ? Math.Max(2048, checked(sequences + 128)) : Math.Max(128, checked(sequences + 32)));
        return new RunnerLimits(Math.Min(sequences, tokens), tokens, options.MaxModelLength ?? config.PositionsMax, options.BlockSize);
    }
}
