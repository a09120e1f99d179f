using System.CommandLine;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm bench: how fast a server, or the engine in this process, is.</summary>
internal static class BenchCommand
{
    public static Command Build()
    {
        Command command = new("bench", "Measure: a running server (serve), or the engine in this process (throughput, latency).");
        command.Add(BenchServeCommand.Build());
        command.Add(BenchEngineCommand.BuildThroughput());
        command.Add(BenchEngineCommand.BuildLatency());
        return command;
    }
}
