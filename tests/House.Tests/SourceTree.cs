namespace NativeLM.Tests.House;

/// <summary>The files a person wrote: everything below the root but build output and what git ignores by folder.</summary>
internal static class SourceTree
{
    private static readonly HashSet<string> Skipped = [".git", "artifacts", "bin", "obj", ".vs", ".vscode", "__pycache__", "node_modules"];

    private static readonly HashSet<string> TextExtensions =
        [".cs", ".csproj", ".props", ".sln", ".c", ".cpp", ".h", ".cu", ".cuh", ".txt", ".py", ".sh", ".md", ".json", ".jsonl", ".yml", ".svg", ".editorconfig", ""];

    public static string Root => TestData.ProjectRoot;

    /// <summary>Paths relative to the root, with forward slashes, in a fixed order.</summary>
    public static IReadOnlyList<string> Files { get; } =
        [.. Walk(new DirectoryInfo(Root)).Select(f => Path.GetRelativePath(Root, f).Replace('\\', '/')).Order(StringComparer.Ordinal)];

    public static IEnumerable<string> TextFiles => Files.Where(f => TextExtensions.Contains(Path.GetExtension(f)) && new FileInfo(Full(f)).Length < 1 << 20);

    public static IEnumerable<string> With(params string[] extensions) => Files.Where(f => extensions.Contains(Path.GetExtension(f)));

    public static bool IsGenerated(string file) => file.EndsWith(".g.cs", StringComparison.Ordinal) || file is "native/tests/abi_layout.c" or "native/core/abi_hash.h";

    public static string Full(string file) => Path.Combine(Root, file);

    public static string Text(string file) => File.ReadAllText(Full(file));

    private static IEnumerable<string> Walk(DirectoryInfo folder) =>
        folder.EnumerateFiles().Where(f => f.Name != ".git").Select(f => f.FullName)
            .Concat(folder.EnumerateDirectories().Where(d => !Skipped.Contains(d.Name)).SelectMany(Walk));
}
