namespace NativeLM.Server;

internal static class Program
{
    private static Task<int> Main(string[] args) => CommandLine.CommandLineApp.RunAsync(args);
}
