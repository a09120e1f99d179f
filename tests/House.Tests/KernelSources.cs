using System.Text.RegularExpressions;

namespace NativeLM.Tests.House;

/// <summary>The CUDA sources without their comments, and the kernels they define.</summary>
internal static partial class KernelSources
{
    /// <summary>Files below native/cuda.</summary>
    public static IReadOnlyList<string> Files { get; } =
        [.. SourceTree.With(".cu", ".cuh", ".h").Where(f => f.StartsWith("native/cuda/", StringComparison.Ordinal))];

    /// <summary>Text of a file; comments and the text of string literals are blanked, lines keep their numbers.</summary>
    public static string Code(string file) => Blank(SourceTree.Text(file));

    public static string Blank(string text) => CommentOrString().Replace(text, m => m.Value[0] == '"' ? "\"\"" : Newlines().Replace(m.Value, ""));

    /// <summary>Every kernel as (file, name).</summary>
    public static IEnumerable<(string File, string Name)> Kernels =>
        Files.Where(f => Path.GetFileName(f) != "simt.cuh").SelectMany(f => Kernel().Matches(Code(f)).Select(m => (f, m.Groups["name"].Value)));

    [GeneratedRegex("""//[^\n]*|/\*.*?\*/|(?<!\#include[ ])"(?:\\.|[^"\\\n])*" """, RegexOptions.Singleline | RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex CommentOrString();

    [GeneratedRegex(@"[^\n]+")]
    private static partial Regex Newlines();

    [GeneratedRegex(@"NLM_KERNEL\b(?:\s+NLM_LAUNCH_BOUNDS\((?:[^()]|\([^()]*\))*\))?\s+(?<name>\w+)\(")]
    private static partial Regex Kernel();
}
