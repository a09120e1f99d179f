namespace NativeLM.Server.Validation;

/// <summary>A checked body of POST /nativelm/prefixes: a name, and a prompt or a chat.</summary>
internal sealed record PrefixRequest(string Name, PromptInput? Prompt, ChatPrompt? Chat, bool AddSpecialTokens, string? CacheSalt);
