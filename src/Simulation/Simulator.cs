using NativeLM.Simulation.Policies;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation;

/// <summary>Plays requests against a policy in virtual time.</summary>
internal static class Simulator
{
    /// <summary>Runs until all requests are done, or a limit is met.</summary>
    public static RunResult Run(Scenario scenario, IReadOnlyList<TraceRequest> requests, RunLimits limits)
    {
        foreach (TraceRequest request in requests)
            if (request.Total > scenario.Model.Context)
                throw new ArgumentException(
                    $"a request has {request.Input} + {request.Output} tokens, {scenario.Model.Name} takes {scenario.Model.Context}");
        return scenario.Policy switch
        {
            ServingPolicy.Static => StaticRun.Run(scenario, requests, limits),
            ServingPolicy.NativeLM or ServingPolicy.Paper => PagedRun.Run(scenario, requests, limits),
            _ => OrcaRun.Run(scenario, requests, limits),
        };
    }
}
