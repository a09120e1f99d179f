namespace NativeLM.Server.Contracts;

/// <summary>Answer of POST /tokenize. TokenStrs is null unless asked for.</summary>
internal sealed record TokenizeAnswer(int Count, int MaxModelLen, IReadOnlyList<int> Tokens, IReadOnlyList<string>? TokenStrs);

/// <summary>Answer of POST /detokenize.</summary>
internal sealed record DetokenizeAnswer(string Prompt);
