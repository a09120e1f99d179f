namespace NativeLM.Engine;

/// <summary>A tokenizer file that cannot be used: which file, which rule it breaks, what was found.</summary>
public sealed class TokenizerFormatException : Exception
{
    /// <summary>Says which file breaks which rule.</summary>
    /// <param name="file">The file, as opened.</param>
    /// <param name="rule">What was needed and what was found.</param>
    /// <param name="inner">The error underneath, if any.</param>
    public TokenizerFormatException(string file, string rule, Exception? inner = null) : base($"{file}: {rule}", inner)
    {
        File = file;
        Rule = rule;
    }

    /// <summary>The file, as opened.</summary>
    public string File { get; }

    /// <summary>What was needed and what was found.</summary>
    public string Rule { get; }
}
