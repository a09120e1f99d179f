using System.Text.RegularExpressions;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>Facts about the text of the sources. Sizes are listed for a reader, never enforced.</summary>
public sealed partial class TidyTests
{
    private static readonly string[] Code = [".cs", ".c", ".cpp", ".h", ".cu", ".cuh", ".sh", ".py"];

    // Spelled in two parts, so that this file does not find itself.
    private static readonly string[] Unfinished = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "NotImplemented" + "Exception"];

    private static readonly string[] MachinePaths = ["/wor" + "k/", "/roo" + "t/", "/hom" + "e/"];

    [Fact]
    public void No_tabs_in_code() => Report(Code, line => line.Contains('\t'), "a tab");

    [Fact]
    public void No_trailing_blanks() => Report([.. Code, ".csproj", ".props"], line => line.Length > 0 && char.IsWhiteSpace(line[^1]), "a trailing blank");

    [Fact]
    public void Nothing_is_left_unfinished() =>
        Report(Code, line => Unfinished.Any(word => line.Contains(word, StringComparison.Ordinal)), "an unfinished place");

    [Fact]
    public void No_file_names_a_path_of_one_machine()
    {
        IEnumerable<string> found = SourceTree.TextFiles.Where(f => !f.EndsWith(".jsonl", StringComparison.Ordinal))
            .SelectMany(f => Lines(f).Where(l => MachinePaths.Any(p => NamesPath(l.Text, p))).Select(l => $"{f}:{l.Number}"));
        Assert.Empty(found);
    }

    [Fact]
    public void Text_files_end_with_one_newline_and_use_line_feeds()
    {
        IEnumerable<string> found = SourceTree.TextFiles.Where(f => Code.Contains(Path.GetExtension(f)) || f.EndsWith(".md", StringComparison.Ordinal))
            .Where(f => SourceTree.Text(f) is { Length: > 0 } text
                && (!text.EndsWith('\n') || text.EndsWith("\n\n", StringComparison.Ordinal) || text.Contains('\r')));
        Assert.Empty(found);
    }

    [Fact]
    public void A_file_holds_one_public_type_and_bears_its_name()
    {
        List<string> found = [];
        foreach (string file in SourceTree.With(".cs").Where(f => f.StartsWith("src/", StringComparison.Ordinal) && !SourceTree.IsGenerated(f)))
        {
            List<Match> types = PublicType().Matches(SourceTree.Text(file)).ToList();
            string name = Path.GetFileNameWithoutExtension(file).Split('.')[0];
            if (types.Count > 0 && !types.Any(t => t.Groups["name"].Value == name))
                found.Add($"{file}: no public type is called {name}");
            // Small companions (an enum, a record) may live beside the type they serve.
            found.AddRange(types.Where(t => t.Groups["name"].Value != name && t.Groups["kind"].Value is "class" or "interface" or "delegate")
                .Where(t => t.Groups["name"].Value != name).Select(t => $"{file}: {t.Groups["name"].Value} wants its own file"));
        }
        Assert.Empty(found);
    }

    [Fact]
    public void Long_files_are_listed()
    {
        int listed = 0;
        foreach (string file in SourceTree.With(Code).Where(f => !SourceTree.IsGenerated(f)))
            if (File.ReadLines(SourceTree.Full(file)).Count() is int lines && lines > 500)
            {
                TestContext.Current.TestOutputHelper?.WriteLine($"{file}: {lines} lines");
                listed++;
            }
        TestContext.Current.TestOutputHelper?.WriteLine($"{listed} files above 500 lines");
        Assert.True(SourceTree.With(Code).Count() > 50, "the source tree was not found");
    }

    // At the start of a path: behind a variable the same letters name a folder of the file's own.
    private static bool NamesPath(string line, string path)
    {
        for (int at = line.IndexOf(path, StringComparison.Ordinal); at >= 0; at = line.IndexOf(path, at + 1, StringComparison.Ordinal))
            if (at == 0 || !(char.IsLetterOrDigit(line[at - 1]) || line[at - 1] is '}' or '_' or '.' or '"'))
                return true;
        return false;
    }

    private static void Report(string[] extensions, Func<string, bool> isWrong, string what)
    {
        List<string> found = [.. SourceTree.With(extensions).SelectMany(f => Lines(f).Where(l => isWrong(l.Text)).Select(l => $"{f}:{l.Number}: {what}"))];
        Assert.Empty(found);
    }

    private static IEnumerable<(int Number, string Text)> Lines(string file) =>
        File.ReadLines(SourceTree.Full(file)).Select((text, index) => (index + 1, text));

    [GeneratedRegex(@"^public (?:(?:static|sealed|abstract|partial|unsafe|readonly|ref) )*(?<kind>class|interface|delegate|enum|record|struct)(?: struct| class)? (?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex PublicType();
}
