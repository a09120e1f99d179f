using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>A package enters with a reason: the central list and docs/dependencies.md name the same ones.</summary>
public sealed partial class PackagesTests
{
    [Fact]
    public void Every_package_is_documented_with_a_reason_and_nothing_else_is()
    {
        HashSet<string> central = [.. Central()];
        Dictionary<string, string> documented = Rows().ToDictionary(r => r.Name, r => r.Reason);
        Assert.Empty(central.Except(documented.Keys));
        Assert.Empty(documented.Keys.Except(central));
        Assert.All(documented.Values, reason => Assert.True(reason.Length > 20, $"'{reason}' is no reason"));
    }

    [Fact]
    public void Projects_use_packages_from_the_central_list_only()
    {
        HashSet<string> central = [.. Central()];
        foreach (string project in SourceTree.With(".csproj"))
            foreach (XElement reference in XDocument.Parse(SourceTree.Text(project)).Descendants("PackageReference"))
            {
                Assert.Contains((string?)reference.Attribute("Include") ?? "", central);
                Assert.Null(reference.Attribute("Version"));
            }
    }

    [Fact]
    public void The_product_uses_only_packages_documented_as_part_of_it()
    {
        HashSet<string> product = [.. Rows().Where(r => r.InProduct).Select(r => r.Name)];
        foreach (string project in SourceTree.With(".csproj").Where(p => p.StartsWith("src/", StringComparison.Ordinal)))
            foreach (XElement reference in XDocument.Parse(SourceTree.Text(project)).Descendants("PackageReference"))
                Assert.Contains((string?)reference.Attribute("Include") ?? "", product);
    }

    private static IEnumerable<string> Central() =>
        XDocument.Parse(SourceTree.Text("Directory.Packages.props")).Descendants("PackageVersion").Select(e => (string)e.Attribute("Include")!);

    private static IEnumerable<(string Name, string Reason, bool InProduct)> Rows()
    {
        string text = SourceTree.Text("docs/dependencies.md");
        int tests = text.IndexOf("## Tests and benchmarks", StringComparison.Ordinal);
        return Row().Matches(text).Select(m => (m.Groups["name"].Value, m.Groups["reason"].Value.Trim(), m.Index < tests));
    }

    [GeneratedRegex(@"^\| `(?<name>[\w.]+)` \|[^|]*\| (?<reason>[^|]+) \|", RegexOptions.Multiline)]
    private static partial Regex Row();
}
