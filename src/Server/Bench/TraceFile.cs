using NativeLM.Simulation.Traces;

namespace NativeLM.Server.Bench;

/// <summary>Reads arrivals and lengths from a published trace (<see cref="TraceReader"/> says which). Without times every request arrives at once.</summary>
internal static class TraceFile
{
    public static List<PlannedRequest> Read(string path) =>
        [.. TraceReader.Read(path).Requests.Select(static (row, i) => new PlannedRequest(TimeSpan.FromSeconds(row.Arrival), row.Input, row.Output, i))];
}
