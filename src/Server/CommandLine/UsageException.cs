namespace NativeLM.Server.CommandLine;

/// <summary>The command line asks for something that cannot be; the message is the one line the user sees.</summary>
internal sealed class UsageException(string message) : Exception(message);
