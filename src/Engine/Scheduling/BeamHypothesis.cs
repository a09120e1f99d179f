namespace NativeLM.Engine.Scheduling;

/// <summary>An output that a search has finished. It holds no KV blocks.</summary>
/// <param name="Tokens">Output tokens; the one that ended it is the last.</param>
/// <param name="Score">Log-probability divided by the number of tokens to the power of the length penalty.</param>
/// <param name="IsStopped">True if it ended with an end token, false if it reached the longest length.</param>
internal sealed record BeamHypothesis(int[] Tokens, float Score, bool IsStopped);
