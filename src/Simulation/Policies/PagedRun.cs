using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>Plays a trace through the real scheduler and block manager.</summary>
internal static class PagedRun
{
    /// <summary>Plays the requests to the end.</summary>
    public static RunResult Run(Scenario scenario, IReadOnlyList<TraceRequest> requests, RunLimits limits)
    {
        SimClock clock = new();
        using PagedEngine engine = new(scenario, clock);
        Measures measures = new(requests, limits, scenario.Slots);
        HashSet<int> open = [];
        List<int> started = [], ended = [];
        int arrived = 0, fed = 0;
        long step = 0;
        bool above = false;
        while (!above && clock.Seconds < limits.End && (arrived < requests.Count || open.Count > 0))
        {
            double now = clock.Seconds;
            for (; arrived < requests.Count && requests[arrived].Arrival <= now; arrived++)
            {
                open.Add(arrived);
                measures.InSystem++;
            }
            // What waits behind the most that can start changes no decision, so it waits outside. The paper's pass for prompts is followed by one for
            // decodes.
            bool isDecodeNext = scenario.Policy == ServingPolicy.Paper && !scenario.PromptsGoFirst && engine.ComputedPrompts && !engine.IsIdle;
            for (; !isDecodeNext && fed < arrived && engine.WaitingCount < engine.AdmissionsMax; fed++)
                engine.Add(fed, requests[fed]);
            if (engine.IsIdle)
            {
                clock.AdvanceTo(requests[arrived].Arrival);
                measures.Idle(now, clock.Seconds);
                continue;
            }
            engine.Step(started, ended);
            Record(now);
            above = (step++ & 255) == 0 && measures.MustExceed(clock.Seconds, open);
        }
        return measures.Close(clock.Seconds, open, above, engine.PreemptionCount, engine.PrefixHitShare);

        void Record(double from)
        {
            double taken = (double)engine.UsedBlocks * scenario.BlockSize;
            measures.Step(from, clock.Seconds, engine.RunningCount, engine.DrawnCount, taken - engine.EmptySlots, 0, engine.EmptySlots);
            measures.Blocks(engine.LogicalBlocks, engine.UsedBlocks);
            foreach (int request in started)
                measures.FirstToken(request, clock.Seconds);
            foreach (int request in ended)
            {
                open.Remove(request);
                measures.End(request, clock.Seconds);
            }
            started.Clear();
            ended.Clear();
        }
    }
}
