using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>Loads an engine with a progress bar on a terminal.</summary>
internal static class EngineLoading
{
    public static LlmEngine Load(EngineOptions options, ILoggerFactory? loggers = null) => Progress.Run(
        $"Loading {Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.ModelPath)))}",
        report => LlmEngine.Load(options, loggers, new Reporter(report)));

    private sealed class Reporter(Action<double> report) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => report(value.Fraction);
    }
}
