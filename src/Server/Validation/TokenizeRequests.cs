namespace NativeLM.Server.Validation;

/// <summary>A checked body of POST /tokenize: a prompt or a chat.</summary>
internal sealed record TokenizeRequest(string? Prompt, ChatPrompt? Chat, bool AddSpecialTokens, bool ReturnTokenStrings);

/// <summary>A checked body of POST /detokenize.</summary>
internal sealed record DetokenizeRequest(int[] Tokens);
