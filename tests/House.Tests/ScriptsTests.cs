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
        // A file that others source inherits their settings.
        if (IsExecutable(script))
            Assert.Contains("set -euo pipefail", SourceTree.Text(script));
    }

    [Theory, MemberData(nameof(Scripts))]
    public void A_script_can_be_started(string script)
    {
        if (IsSourced(script))
            Assert.StartsWith("#", SourceTree.Text(script));
        else
            Assert.True(IsExecutable(script), $"{script} lacks the executable bit: chmod +x, and git add it");
    }

    private static bool IsScript(string file) => file.EndsWith(".sh", StringComparison.Ordinal) || file == ".ci/run";

    // scripts/common.sh and the like hold functions for the others.
    private static bool IsSourced(string file) =>
        SourceTree.Files.Where(f => IsScript(f) && f != file).Any(f => SourceTree.Text(f).Split('\n')
            .Any(l => l.TrimStart() is var t && (t.StartsWith(". ", StringComparison.Ordinal) || t.StartsWith("source ", StringComparison.Ordinal))
                && t.Contains(Path.GetFileName(file), StringComparison.Ordinal)));

    private static bool IsExecutable(string file) =>
        OperatingSystem.IsWindows() || (File.GetUnixFileMode(SourceTree.Full(file)) & UnixFileMode.UserExecute) != 0;
}
