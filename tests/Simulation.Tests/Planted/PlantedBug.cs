namespace NativeLM.Tests.Planted;

/// <summary>
/// One bug to plant: a .mutant file that says what is wrong, in which source file, which text stands there and which takes its place.
/// Three lines of "---" part the four.
/// </summary>
internal sealed record PlantedBug(string Name, string Sentence, string Source, string Original, string Replacement)
{
    private const string Rule = "---\n";
    private const string SourceLabel = "source: ";

    /// <summary>All of them, in the order of their names.</summary>
    public static IReadOnlyList<PlantedBug> All { get; } =
        [.. Directory.GetFiles(Path.Combine(TestData.ProjectRoot, "tests", "Simulation.Tests", "Planted"), "*.mutant").Order(StringComparer.Ordinal).Select(Read)];

    /// <summary>The source with the bug in it. The original must stand there exactly once, or it is not this bug any more.</summary>
    public string PlantIn(string text)
    {
        int first = text.IndexOf(Original, StringComparison.Ordinal), last = text.LastIndexOf(Original, StringComparison.Ordinal);
        if (first < 0 || first != last)
            throw new InvalidOperationException(
                $"{Name}.mutant: expected its text exactly once in {Source}, found {(first < 0 ? "none" : "several")}; the source has changed, so bring the mutant up to date");
        return text.Replace(Original, Replacement, StringComparison.Ordinal);
    }

    private static PlantedBug Read(string path)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        string[] parts = File.ReadAllText(path).Split(Rule);
        string[] header = parts[0].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length != 4 || parts[3].Length != 0 || header.Length != 2 || !header[1].StartsWith(SourceLabel, StringComparison.Ordinal))
            throw new InvalidOperationException($"{name}.mutant: expected a sentence, a line '{SourceLabel}FILE' and three lines of ---");
        return new PlantedBug(name, header[0], header[1][SourceLabel.Length..], parts[1], parts[2]);
    }
}
