namespace NativeLM.Server.Contracts;

/// <summary>OpenAI's error object.</summary>
internal sealed record ErrorBody(ErrorDetail Error);

/// <summary>What went wrong. Param and Code are null where they say nothing.</summary>
internal sealed record ErrorDetail(string Message, string Type, string? Param, string? Code);
