using System.Numerics;
using NativeLM.Simulation.Hardware;
using NativeLM.Simulation.Traces;

namespace NativeLM.Simulation.Policies;

/// <summary>
/// Orca as the paper rebuilds it (section 6.1): iteration-level scheduling, first come first served, contiguous KV from a buddy allocator, reserved
/// at admission and kept to the end; no preemption. A request of several sequences takes a chunk for each. A step that admits prompts costs a
/// prefill pass and a decode pass. Ends are known at admission, so a step costs O(1).
/// </summary>
internal sealed class OrcaRun
{
    private readonly Scenario _scenario;
    private readonly IReadOnlyList<TraceRequest> _requests;
    private readonly RunLimits _limits;
    private readonly CostModel _costs;
    private readonly BuddyAllocator _memory;
    private readonly Measures _measures;
    private readonly PriorityQueue<(int Request, int[] Chunks), long> _ends = new(); // by the step that draws the last token
    private readonly HashSet<int> _open = [];
    private int _next; // first request that has not been admitted
    private int _arrived; // requests that have arrived
    private long _step;
    private double _kv; // tokens resident and read by the next step
    private double _total; // prompt and output of all that run
    private double _taken; // slots asked for by all that run
    private int _sequences;

    private OrcaRun(Scenario scenario, IReadOnlyList<TraceRequest> requests, RunLimits limits)
    {
        (_scenario, _requests, _limits) = (scenario, requests, limits);
        _costs = scenario.Costs();
        _memory = new BuddyAllocator(scenario.Slots);
        _measures = new Measures(requests, limits, scenario.Slots);
    }

    /// <summary>Plays the requests to the end.</summary>
    public static RunResult Run(Scenario scenario, IReadOnlyList<TraceRequest> requests, RunLimits limits) =>
        new OrcaRun(scenario, requests, limits).Run();

    private RunResult Run()
    {
        double now = 0;
        bool above = false;
        while (!above && now < _limits.End && (_next < _requests.Count || _ends.Count > 0))
        {
            Arrive(now);
            int decodes = _sequences;
            double kv = _kv;
            int first = _next;
            (double tokens, double pairs) = Admit();
            if (decodes + tokens == 0)
            {
                double next = _requests[_next].Arrival;
                _measures.Idle(now, next);
                now = next;
                continue;
            }
            double cost = (tokens > 0 ? _costs.Pass(0, 0, tokens, pairs) : 0) + (decodes > 0 ? _costs.Pass(decodes, kv, 0, 0) : 0);
            double end = now + cost;
            _measures.Step(now, end, _ends.Count, _sequences, _kv, _total - _kv, _taken - _total);
            now = end;
            _kv += decodes; // what was admitted in this step already counts its first token
            for (; first < _next; first++)
                _measures.FirstToken(first, now);
            Finish(now);
            above = (_step & 255) == 0 && _measures.MustExceed(now, _open);
            _step++;
        }
        return _measures.Close(now, _open, above);
    }

    private void Arrive(double now)
    {
        for (; _arrived < _requests.Count && _requests[_arrived].Arrival <= now; _arrived++)
        {
            _open.Add(_arrived);
            _measures.InSystem++;
        }
    }

    /// <summary>Takes requests in order while places last and a chunk is free for each of their sequences; returns prompt tokens and their
    /// pairs.</summary>
    private (double Tokens, double Pairs) Admit()
    {
        double tokens = 0, pairs = 0;
        for (; _next < _arrived; _next++)
        {
            TraceRequest request = _requests[_next];
            if (_sequences + _scenario.Width > _scenario.SequencesMax || TakeChunks(Reservation(request)) is not int[] chunks)
                break;
            tokens += request.Input;
            pairs += CostModel.Pairs(0, request.Input);
            _ends.Enqueue((_next, chunks), _step + request.Output - 1);
            _sequences += chunks.Length;
            _kv += (double)chunks.Length * (request.Input + 1);
            _total += (double)chunks.Length * request.Total;
            _taken += (double)chunks.Length * Reservation(request);
        }
        return (tokens, pairs);
    }

    private void Finish(double now)
    {
        while (_ends.TryPeek(out (int Request, int[] Chunks) ended, out long step) && step == _step)
        {
            _ends.Dequeue();
            TraceRequest request = _requests[ended.Request];
            foreach (int chunk in ended.Chunks)
                _memory.Free(chunk, Reservation(request));
            _sequences -= ended.Chunks.Length;
            _kv -= (double)ended.Chunks.Length * request.Total;
            _total -= (double)ended.Chunks.Length * request.Total;
            _taken -= (double)ended.Chunks.Length * Reservation(request);
            _open.Remove(ended.Request);
            _measures.End(ended.Request, now);
        }
    }

    /// <summary>Slots that one sequence asks for; never less than it needs, never more than the context.</summary>
    private int Reservation(in TraceRequest request) => _scenario.Policy switch
    {
        ServingPolicy.OrcaMax => _scenario.Model.Context,
        ServingPolicy.OrcaPow2 => Math.Min(_scenario.Model.Context, request.Input + (int)BitOperations.RoundUpToPowerOf2((uint)request.Output)),
        ServingPolicy.OrcaOracle => request.Total,
        _ => throw new InvalidOperationException($"{_scenario.Policy} is not an Orca policy"),
    };

    private int[]? TakeChunks(int slots)
    {
        int[] chunks = new int[_scenario.Width];
        for (int i = 0; i < chunks.Length; i++)
            if (!_memory.TryTake(slots, out chunks[i]))
            {
                while (--i >= 0)
                    _memory.Free(chunks[i], slots);
                return null;
            }
        return chunks;
    }
}
