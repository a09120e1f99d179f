using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace NativeLM.Tests.House;

public sealed class ScriptsTests
{
    public static TheoryData<string> Scripts => [.. SourceTree.Files.Where(IsScript)];

    [Theory, MemberData(nameof(Scripts))]
    public void A_script_parses_and_stops_at_the_first_failure(string script)
    {
        ProcessStartInfo start = new("bash", ["-n", SourceTree.Full(script)]) { RedirectStandardError = true };
        using Process bash = Process.Start(start)!;
        string errors = bash.StandardError.ReadToEnd();
        bash.WaitForExit();
        Assert.True(bash.ExitCode == 0, errors);
        if (!IsSourced(script))
            Assert.Contains(SourcedBy(script).Append(script), f => SourceTree.Text(f).Contains("set -euo pipefail", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Scripts))]
    public void A_script_can_be_started(string script)
    {
        if (IsSourced(script))
            Assert.StartsWith("#", SourceTree.Text(script));
        else
            Assert.True(IsExecutable(script), $"{script} lacks the executable bit: chmod +x, and git add it");
    }

    public static TheoryData<string> PythonScripts => [.. SourceTree.With(".py")];

    // Benchmarks that need PyTorch run on few machines; a slip of the pen should show on all.
    [Theory, MemberData(nameof(PythonScripts))]
    public void A_python_script_parses(string script)
    {
        ProcessStartInfo start = new("python3", ["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", SourceTree.Full(script)]) { RedirectStandardError = true };
        try
        {
            using Process python = Process.Start(start)!;
            string errors = python.StandardError.ReadToEnd();
            python.WaitForExit();
            Assert.True(python.ExitCode == 0, errors);
        }
        catch (Win32Exception)
        {
            Assert.Skip("python3 is not installed: the Python scripts were not parsed");
        }
    }

    private static bool IsScript(string file) => file.EndsWith(".sh", StringComparison.Ordinal) || file == ".ci/run";

    // scripts/common.sh and the like hold functions and settings for the others.
    private static bool IsSourced(string file) => SourceTree.Files.Where(IsScript).Any(f => SourcedBy(f).Contains(file));

    private static IEnumerable<string> SourcedBy(string file)
    {
        string[] lines = [.. SourceTree.Text(file).Split('\n').Select(l => l.TrimStart())
            .Where(l => l.StartsWith(". ", StringComparison.Ordinal) || l.StartsWith("source ", StringComparison.Ordinal))];
        return SourceTree.Files.Where(f => IsScript(f) && f != file && lines.Any(l => l.Contains(Path.GetFileName(f), StringComparison.Ordinal)));
    }

    private static bool IsExecutable(string file) =>
        OperatingSystem.IsWindows() || (File.GetUnixFileMode(SourceTree.Full(file)) & UnixFileMode.UserExecute) != 0;
}
