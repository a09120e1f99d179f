namespace NativeLM.Server.CommandLine;

/// <summary>Which model folder to load.</summary>
internal static class ModelLocator
{
    /// <summary>The folder named, or the bundled demo model: beside the program, or in the checkout the program was built in.</summary>
    public static string Find(string? named)
    {
        if (named is not null)
            return named;
        string relative = Path.Combine("models", "demo");
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, relative, "config.json")))
                return Path.Combine(folder.FullName, relative);
        string expected = Path.Combine(AppContext.BaseDirectory, relative);
        throw new UsageException($"no model named, and no demo model found: expected {expected}; pass a model folder");
    }
}
