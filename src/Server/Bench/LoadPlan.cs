namespace NativeLM.Server.Bench;

/// <summary>Which requests are sent, and when. The same options and seed give the same plan.</summary>
internal static class LoadPlan
{
    /// <summary>Fixed lengths, each drawn uniformly within ±range of its mean; all arrive at once.</summary>
    public static List<PlannedRequest> Uniform(int count, int inputLength, int outputLength, double range, int seed)
    {
        Random random = new(seed);
        List<PlannedRequest> plan = new(count);
        for (int i = 0; i < count; i++)
            plan.Add(new PlannedRequest(TimeSpan.Zero, Draw(inputLength), Draw(outputLength), random.Next()));
        return plan;

        int Draw(int mean) => Math.Max(1, (int)Math.Round(mean * (1 + (range * ((2 * random.NextDouble()) - 1)))));
    }

    /// <summary>Poisson arrivals: independent exponential gaps with the given mean rate per second.</summary>
    public static List<PlannedRequest> WithPoissonArrivals(IEnumerable<PlannedRequest> requests, double rate, int seed)
    {
        Random random = new(seed ^ 0x5f3759df);
        double seconds = 0;
        List<PlannedRequest> plan = [];
        foreach (PlannedRequest request in requests)
        {
            seconds += -Math.Log(1 - random.NextDouble()) / rate;
            plan.Add(request with { Arrival = TimeSpan.FromSeconds(seconds) });
        }
        return plan;
    }

    /// <summary>Cuts a trace to what a model can hold and plays it faster or slower.</summary>
    public static List<PlannedRequest> Fit(IEnumerable<PlannedRequest> trace, int count, double lengthScale, double timeScale, int inputMax,
        int outputMax) =>
        [.. trace.Take(count).Select(r => r with
        {
            Arrival = r.Arrival * timeScale,
            InputLength = Scale(r.InputLength, lengthScale, inputMax),
            OutputLength = Scale(r.OutputLength, lengthScale, outputMax),
        })];

    /// <summary>Token ids of a prompt: uniform over [first, vocabulary), the low ids left out because they are often special.</summary>
    public static int[] PromptIds(in PlannedRequest request, int vocabulary)
    {
        const int First = 5;
        Random random = new(request.PromptSeed);
        int[] ids = new int[request.InputLength];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = random.Next(First, vocabulary);
        return ids;
    }

    private static int Scale(int length, double scale, int max) => Math.Clamp((int)Math.Round(length * scale), 1, max);
}
