namespace NativeLM.Engine.Scheduling;

/// <summary>A continuation that a search chose: one beam of its next step.</summary>
/// <param name="Parent">The beam that it continues: its rank in the step before.</param>
/// <param name="Token">The token appended to it.</param>
/// <param name="Cumulative">Log-probability of the whole output.</param>
/// <param name="Logprob">Log-probability of the token alone.</param>
internal readonly record struct BeamStep(int Parent, int Token, float Cumulative, float Logprob);
