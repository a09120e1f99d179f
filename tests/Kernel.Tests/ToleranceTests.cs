using System.Globalization;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed class ToleranceTests
{
    [Fact]
    public void The_documented_tolerances_are_the_ones_tested()
    {
        string text = File.ReadAllText(Path.Combine(TestData.ProjectRoot, "docs", "numerics.md"));
        foreach ((string op, DType type, Tolerance tolerance) in Tolerance.All)
        {
            string row = string.Create(CultureInfo.InvariantCulture, $"| `{op}` | {type} | {tolerance.Sum:0.#e0} | {tolerance.Value:0.#e0} |");
            Assert.Contains(row, text);
        }
    }
}
