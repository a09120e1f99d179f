namespace NativeLM.Engine;

/// <summary>A model folder that cannot be served. The message names the file, what was found and what was needed.</summary>
public sealed class ModelLoadException : Exception
{
    /// <summary>For a rule that a file breaks.</summary>
    /// <param name="file">File or folder at fault.</param>
    /// <param name="problem">Field or tensor, what was found and what was needed.</param>
    public ModelLoadException(string file, string problem) : base($"{file}: {problem}") => File = file;

    /// <summary>For a failure below that has a cause of its own.</summary>
    public ModelLoadException(string file, string problem, Exception cause) : base($"{file}: {problem}", cause) => File = file;

    /// <summary>File or folder at fault.</summary>
    public string File { get; }
}
