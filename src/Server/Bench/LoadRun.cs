using System.Diagnostics;

namespace NativeLM.Server.Bench;

/// <summary>Plays a plan against a server.</summary>
internal static class LoadRun
{
    /// <summary>Open loop: each request is sent at its time, whether earlier ones have finished or not.</summary>
    public static async Task<LoadResult> OpenAsync(LoadClient client, IReadOnlyList<PlannedRequest> plan, Action<RequestRecord>? finished,
        CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        Task<RequestRecord>[] tasks = new Task<RequestRecord>[plan.Count];
        for (int i = 0; i < plan.Count; i++)
        {
            TimeSpan wait = plan[i].Arrival - Stopwatch.GetElapsedTime(start);
            if (wait > TimeSpan.Zero)
                await Task.Delay(wait, cancellation);
            tasks[i] = SendAsync(client, plan[i], start, finished, cancellation);
        }
        RequestRecord[] records = await Task.WhenAll(tasks);
        return new LoadResult(records, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>Closed loop: a fixed number of clients, each sending its next request when the last one is done.</summary>
    public static async Task<LoadResult> ClosedAsync(
        LoadClient client, IReadOnlyList<PlannedRequest> plan, int concurrency, Action<RequestRecord>? finished, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        RequestRecord[] records = new RequestRecord[plan.Count];
        int next = -1;
        await Task.WhenAll(Enumerable.Range(0, Math.Min(concurrency, plan.Count)).Select(_ => WorkAsync()));
        return new LoadResult(records, Stopwatch.GetElapsedTime(start).TotalSeconds);

        async Task WorkAsync()
        {
            for (int i = Interlocked.Increment(ref next); i < plan.Count; i = Interlocked.Increment(ref next))
                records[i] = await SendAsync(client, plan[i], start, finished, cancellation);
        }
    }

    private static async Task<RequestRecord> SendAsync(
        LoadClient client, PlannedRequest planned, long start, Action<RequestRecord>? finished, CancellationToken cancellation)
    {
        RequestRecord record = await client.SendAsync(planned, start, cancellation);
        finished?.Invoke(record);
        return record;
    }
}
