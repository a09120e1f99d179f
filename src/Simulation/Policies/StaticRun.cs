using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>
/// FasterTransformer behind a dynamic batcher (section 6.1): the largest batch that memory permits when every sequence reserves the context, first
/// come first served; prompts are padded to the longest, the batch runs until its longest output ends, and all results return then.
/// </summary>
internal static class StaticRun
{
    /// <summary>Plays the requests to the end.</summary>
    public static RunResult Run(Scenario scenario, IReadOnlyList<TraceRequest> requests, RunLimits limits)
    {
        CostModel costs = scenario.Costs();
        int seats = scenario.Slots / scenario.Model.Context / scenario.Width;
        if (seats == 0)
            throw new ArgumentException($"{scenario.Width} sequences of {scenario.Model.Context} slots need more than the pool of {scenario.Slots}");
        Measures measures = new(requests, limits, scenario.Slots);
        HashSet<int> open = [];
        double now = 0;
        int next = 0, arrived = 0;
        bool above = false;
        while (!above && next < requests.Count && now < limits.End)
        {
            Arrive();
            if (next == arrived)
            {
                measures.Idle(now, requests[next].Arrival);
                now = requests[next].Arrival;
                continue;
            }
            int count = Math.Min(seats, arrived - next);
            RunBatch(count);
            next += count;
            above = measures.MustExceed(now, open);
        }
        return measures.Close(now, open, above);

        void Arrive()
        {
            for (; arrived < requests.Count && requests[arrived].Arrival <= now; arrived++)
            {
                open.Add(arrived);
                measures.InSystem++;
            }
        }

        void RunBatch(int count)
        {
            int input = 0, output = 0;
            for (int i = next; i < next + count; i++)
                (input, output) = (Math.Max(input, requests[i].Input), Math.Max(output, requests[i].Output));
            int sequences = count * scenario.Width;
            for (int step = 0; step < output; step++)
            {
                double cost = step == 0
                    ? costs.Pass(0, 0, (double)count * input, count * CostModel.Pairs(0, input))
                    : costs.Pass(sequences, (double)sequences * (input + step), 0, 0);
                double held = (double)sequences * (input + step);
                double taken = (double)sequences * scenario.Model.Context;
                int emitted = scenario.Width * Unfinished(step);
                measures.Step(now, now + cost, count, emitted, held, (double)sequences * (output - step),
                    taken - sequences * (double)(input + output));
                now += cost;
                Arrive();
            }
            for (int i = next; i < next + count; i++)
            {
                open.Remove(i);
                measures.FirstToken(i, now);
                measures.End(i, now);
            }

            int Unfinished(int step)
            {
                int unfinished = 0;
                for (int i = next; i < next + count; i++)
                    unfinished += requests[i].Output > step ? 1 : 0;
                return unfinished;
            }
        }
    }
}
