namespace NativeLM.Tests.Worlds;

/// <summary>
/// The scheduler as one would write it down first, with dictionaries, sets and queries: first come, first served, prompts in chunks, preemption
/// by recompute, one sequence per request, no prefix cache. Tests compare plans with it, and the benchmark of a step has it as its partner.
/// </summary>
internal sealed class OracleScheduler(int usableBlocks, int blockSize, int sequencesMax, int tokensMax, double watermark = 0.01)
{
    private readonly Dictionary<long, Request> _requests = [];
    private readonly HashSet<int> _freeBlocks = [.. Enumerable.Range(1, usableBlocks)];
    private int _plannedTokens;

    private enum State
    {
        Waiting,
        Running,
        Preempted,
    }

    /// <summary>Requests that live.</summary>
    public int Count => _requests.Count;

    /// <summary>Blocks without an owner.</summary>
    public int FreeCount => _freeBlocks.Count;

    /// <summary>Takes a new request.</summary>
    public void Add(long arrival, int[] prompt, int outputMax) => _requests.Add(arrival, new Request(arrival, [.. prompt], prompt.Length + outputMax));

    /// <summary>Ends a request.</summary>
    public void Finish(long arrival)
    {
        if (_requests.Remove(arrival, out Request? request))
            _freeBlocks.UnionWith(request.Blocks.Values);
    }

    /// <summary>The next step, in the order of its rows.</summary>
    public List<Row> Plan()
    {
        List<Row> plan = [];
        _plannedTokens = 0;
        bool preempted = PlanDecodes(plan);
        foreach (Request request in InOrder(State.Running).Where(request => request.IsPrefilling).ToList())
            Compute(plan, request);
        if (!preempted)
            foreach (Request request in InOrder(State.Preempted).Concat(InOrder(State.Waiting)).ToList())
                if (!TryStart(plan, request))
                    break;
        return plan;
    }

    /// <summary>Takes over the tokens that a step drew.</summary>
    public void Commit(List<Row> plan, IReadOnlyList<int> tokens)
    {
        foreach ((Row row, int token) in plan.Zip(tokens).Where(pair => pair.First.Samples))
        {
            if (!_requests.TryGetValue(row.Arrival, out Request? request))
                continue;
            request.Tokens.Add(token);
            if (request.Tokens.Count == request.TokensMax)
                Finish(row.Arrival);
        }
    }

    private bool PlanDecodes(List<Row> plan)
    {
        bool preempted = false;
        foreach (Request request in InOrder(State.Running).Where(request => !request.IsPrefilling).ToList())
        {
            while (request.State == State.Running && !TryGrow(request, margin: 0))
            {
                Preempt(InOrder(State.Running).Last());
                preempted = true;
            }
            if (request.State == State.Running)
                Compute(plan, request);
        }
        return preempted;
    }

    private bool TryStart(List<Row> plan, Request request)
    {
        int running = _requests.Values.Count(other => other.State == State.Running);
        if (running == sequencesMax || _plannedTokens == tokensMax)
            return false;
        if (!TryGrow(request, margin: running == 0 ? 0 : (int)(usableBlocks * watermark)))
            return false;
        request.State = State.Running;
        Compute(plan, request);
        return true;
    }

    private void Compute(List<Row> plan, Request request)
    {
        int count = Math.Min(request.Tokens.Count - request.Computed, tokensMax - _plannedTokens);
        if (count == 0)
            return;
        plan.Add(new Row(request.Arrival, request.Computed, count, request.Computed + count == request.Tokens.Count));
        request.Computed += count;
        _plannedTokens += count;
        request.IsPrefilling = request.Computed < request.Tokens.Count;
    }

    private bool TryGrow(Request request, int margin)
    {
        int missing = (request.Tokens.Count + blockSize - 1) / blockSize - request.Blocks.Count;
        if (missing > 0 && missing > _freeBlocks.Count - margin)
            return false;
        foreach (int block in _freeBlocks.Take(missing).ToList())
        {
            _freeBlocks.Remove(block);
            request.Blocks.Add(request.Blocks.Count, block);
        }
        return true;
    }

    private void Preempt(Request request)
    {
        _freeBlocks.UnionWith(request.Blocks.Values);
        request.Blocks.Clear();
        (request.Computed, request.IsPrefilling, request.State) = (0, true, State.Preempted);
    }

    private IEnumerable<Request> InOrder(State state) => _requests.Values.Where(request => request.State == state).OrderBy(request => request.Arrival);

    /// <summary>Tokens [Start, Start + Count) of a request.</summary>
    public sealed record Row(long Arrival, int Start, int Count, bool Samples);

    private sealed record Request(long Arrival, List<int> Tokens, int TokensMax)
    {
        public Dictionary<int, int> Blocks { get; } = []; // by place in the sequence

        public State State { get; set; }

        public int Computed { get; set; }

        public bool IsPrefilling { get; set; } = true;
    }
}
