namespace NativeLM.Simulation.Traces;

/// <summary>A trace as it was read.</summary>
/// <param name="Requests">In order of arrival.</param>
/// <param name="HasArrivals">False for a list of lengths: every arrival is 0.</param>
internal sealed record Trace(IReadOnlyList<TraceRequest> Requests, bool HasArrivals);
