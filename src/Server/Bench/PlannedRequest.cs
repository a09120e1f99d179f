namespace NativeLM.Server.Bench;

/// <summary>One request of a load: when it is sent and how long it is.</summary>
/// <param name="Arrival">Time after the start of the run; zero in a closed loop.</param>
/// <param name="InputLength">Prompt tokens.</param>
/// <param name="OutputLength">Output tokens, exactly (EOS is ignored).</param>
/// <param name="PromptSeed">Seed of the prompt's token ids.</param>
internal readonly record struct PlannedRequest(TimeSpan Arrival, int InputLength, int OutputLength, int PromptSeed);
