namespace NativeLM.Engine;

/// <summary>Why a chat template failed.</summary>
public enum ChatTemplateErrorKind
{
    /// <summary>The template text is not a program this interpreter takes.</summary>
    Syntax,
    /// <summary>The template refused the messages with raise_exception; the message is the template's own.</summary>
    Raised,
    /// <summary>An operation failed on these values, for example text plus number.</summary>
    Evaluation,
    /// <summary>It needed more steps, output or depth than it may have.</summary>
    Budget,
    /// <summary>The input is not what a template can be given, for example an argument that would replace the messages.</summary>
    Input,
}

/// <summary>A chat template that could not be read or rendered. The message may be shown to the client.</summary>
public sealed class ChatTemplateException : Exception
{
    /// <summary>Says what failed.</summary>
    /// <param name="kind">Why.</param>
    /// <param name="message">What was found and what was needed.</param>
    /// <param name="line">Line of the template, from 1; 0: unknown.</param>
    public ChatTemplateException(ChatTemplateErrorKind kind, string message, int line = 0) : base(message)
    {
        Kind = kind;
        Line = line;
    }

    /// <summary>Why.</summary>
    public ChatTemplateErrorKind Kind { get; }

    /// <summary>Line of the template, from 1; 0: unknown.</summary>
    public int Line { get; }
}
