using System.Text.RegularExpressions;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>docs/kernel-catalog.md says what is there, and all of it.</summary>
public sealed partial class KernelCatalogTests
{
    private static readonly string Page = SourceTree.Text("docs/kernel-catalog.md");

    private static List<string[]> Rows(string heading) =>
        [.. Page[Page.IndexOf($"## {heading}\n", StringComparison.Ordinal)..].Split("\n## ")[0].Split('\n')
            .Where(l => l.StartsWith("| ", StringComparison.Ordinal)).Skip(1)
            .Select(l => l.Trim('|').Split('|').Select(c => c.Trim()).ToArray())];

    private static IEnumerable<string> Quoted(string cell) => Code().Matches(cell).Select(m => m.Groups["text"].Value);

    [Fact]
    public void Every_operation_of_the_abi_has_one_row()
    {
        // An operation computes on a stream; handles, copies and sizes are named in prose.
        HashSet<string> plain = ["nlm_copy", "nlm_fill", "nlm_stream_destroy", "nlm_stream_synchronize", "nlm_stream_wait_event", "nlm_graph_begin", "nlm_graph_end", "nlm_graph_launch"];
        IEnumerable<string> operations = Operation().Matches(SourceTree.Text("native/include/nativelm.h")).Select(m => m.Groups["name"].Value).Where(n => !plain.Contains(n));
        Assert.Equal(operations.Order(StringComparer.Ordinal), Rows("Operations").Select(r => Quoted(r[1]).Single()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Each_backends_file_defines_the_symbol_and_each_test_names_it()
    {
        List<string> wrong = [];
        foreach (string[] row in Rows("Operations"))
        {
            string symbol = Quoted(row[1]).Single(), call = symbol["nlm_".Length..].Replace("_", "", StringComparison.Ordinal);
            void Check(string file, string needed)
            {
                if (!SourceTree.Files.Contains(file) || !SourceTree.Text(file).Contains(needed, StringComparison.OrdinalIgnoreCase))
                    wrong.Add($"{row[0]}: {file} does not hold {needed}");
            }
            foreach (string file in Quoted(row[2]))
                Check($"native/cpu/{file}", $"int32_t {symbol}(");
            foreach (string file in Quoted(row[3]))
                Check($"native/cuda/{file}", $"int32_t {symbol}(");
            foreach (string file in Quoted(row[4]))
                Check($"native/tests/{file}", TestedThrough(file, symbol));
            foreach (string name in Quoted(row[5]))
                Check($"tests/Kernel.Tests/{name}.cs", "[Theory");
            if (!SourceTree.With(".cs").Where(f => f.StartsWith("tests/Kernel.Tests/", StringComparison.Ordinal)).Any(f => SourceTree.Text(f).Contains($"Ops.{call}(", StringComparison.OrdinalIgnoreCase)))
                wrong.Add($"{row[0]}: no managed test calls Ops.{call}");
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Every_kernel_is_listed_with_its_file()
    {
        IEnumerable<string> kernels = KernelSources.Kernels.Select(k => $"{k.Name} in {k.File["native/cuda/".Length..]}");
        Assert.Equal(kernels.Order(StringComparer.Ordinal), Rows("Kernels").Select(r => $"{Quoted(r[0]).Single()} in {Quoted(r[1]).Single()}").Order(StringComparer.Ordinal));
        Assert.All(Rows("Kernels"), r => Assert.NotEmpty(r[2]));
    }

    [Fact]
    public void A_status_claims_only_what_can_be_traced()
    {
        foreach (string[] row in Rows("Operations"))
            foreach (string claim in row[7].Split(", "))
                Assert.True(claim is "emulated" or "compiled" || RunOn().IsMatch(claim), $"{row[0]}: '{claim}' is no status word");
    }

    // Shared fixtures make the call where the test file itself does not.
    private static string TestedThrough(string file, string symbol)
    {
        string text = SourceTree.Files.Contains($"native/tests/{file}") ? SourceTree.Text($"native/tests/{file}") : "";
        foreach (Match include in Fixture().Matches(text))
            if (!text.Contains(symbol, StringComparison.Ordinal) && SourceTree.Text($"native/tests/{include.Groups["file"].Value}").Contains(symbol, StringComparison.Ordinal))
                return include.Value;
        return symbol;
    }

    [GeneratedRegex("`(?<text>[^`]+)`")]
    private static partial Regex Code();

    [GeneratedRegex(@"NLM_API int32_t (?<name>nlm_\w+)\(nlm_stream\* ")]
    private static partial Regex Operation();

    [GeneratedRegex(@"^run on [\w -]+ at [0-9a-f]{7,40}$")]
    private static partial Regex RunOn();

    [GeneratedRegex("#include \"(?<file>\\w+_cases\\.h)\"")]
    private static partial Regex Fixture();
}
