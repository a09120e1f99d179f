namespace NativeLM.Simulation.Traces;

/// <summary>One request of a trace: when it comes, how long it is, and what of its prompt it may share with others.</summary>
/// <param name="Arrival">Seconds after the start of the trace.</param>
/// <param name="Input">Prompt tokens, at least 1.</param>
/// <param name="Output">Output tokens. Recorded ones may be 0; a run gives every request at least 1.</param>
/// <param name="PrefixBlocks">
/// Ids of the prompt's blocks of <see cref="TraceRequest.PrefixBlockSize"/> tokens; two requests whose ids agree up to a place have the same
/// tokens up to there. Null: the prompt is nobody else's.
/// </param>
/// <param name="SharedPrefix">Leading prompt tokens that all requests have in common (a system prompt, examples of a translation).</param>
/// <param name="Conversation">
/// Requests of the same conversation are cut from one text: each prompt begins with the prompt and output of the one before. 0: a text of its own.
/// </param>
internal readonly record struct TraceRequest(double Arrival, int Input, int Output, int[]? PrefixBlocks = null, int SharedPrefix = 0,
    int Conversation = 0)
{
    /// <summary>Tokens that one id of <see cref="PrefixBlocks"/> stands for (Mooncake's traces).</summary>
    public const int PrefixBlockSize = 512;

    /// <summary>Prompt and output tokens.</summary>
    public int Total => Input + Output;
}
