using Xunit;

namespace NativeLM.Tests;

/// <summary>Finds the project's root and the optional third-party test inputs. A test whose input is absent is skipped with the reason.</summary>
internal static class TestData
{
    private const string DataVariable = "NATIVELM_TEST_DATA";
    private const string GoldensVariable = "NATIVELM_TEST_GOLDENS";

    /// <summary>The folder that holds NativeLM.sln.</summary>
    public static string ProjectRoot { get; } = FindProjectRoot();

    /// <summary>Absolute path of a file or folder below the shared data folder; skips the test when it is absent.</summary>
    public static string Require(string relativePath) => Require(DataVariable, "data", relativePath);

    /// <summary>Absolute path of a file or folder below the folder of Hugging Face results; skips the test when it is absent.</summary>
    public static string RequireGolden(string relativePath) => Require(GoldensVariable, "goldens", relativePath);

    /// <summary>The folder of Hugging Face results, or null when it is absent (for theories that list cases).</summary>
    public static string? GoldensOrNull => FolderOrNull(GoldensVariable, "goldens");

    /// <summary>The shared data folder, or null when it is absent (for theories that list cases).</summary>
    public static string? DataOrNull => FolderOrNull(DataVariable, "data");

    private static string? FolderOrNull(string variable, string folder)
    {
        string path = Environment.GetEnvironmentVariable(variable) ?? Path.Combine(ProjectRoot, "..", "shared", folder);
        return Directory.Exists(path) ? Path.GetFullPath(path) : null;
    }

    private static string Require(string variable, string folder, string relativePath)
    {
        string? root = FolderOrNull(variable, folder);
        string path = root is null ? "" : Path.Combine(root, relativePath);
        if (root is null || !(File.Exists(path) || Directory.Exists(path)))
            Assert.Skip($"test input '{relativePath}' is absent; set {variable} to the folder that holds it, or lay it at ../shared/{folder}");
        return path;
    }

    private static string FindProjectRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "NativeLM.sln")))
                return folder.FullName;
        throw new InvalidOperationException($"NativeLM.sln was not found above {AppContext.BaseDirectory}; run the tests from a checkout");
    }
}
