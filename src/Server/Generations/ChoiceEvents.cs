using System.Runtime.CompilerServices;
using System.Threading.Channels;
using NativeLM.Engine;

namespace NativeLM.Server.Generations;

/// <summary>One event of one choice.</summary>
internal readonly record struct ChoiceEvent(Choice Choice, TextEvent Event);

/// <summary>Events of all choices of a request in the order they come, whichever prompt they continue. Stopping the enumeration cancels every generation.</summary>
internal static class ChoiceEvents
{
    private const int BufferedMax = 256;

    public static IAsyncEnumerable<ChoiceEvent> Read(IReadOnlyList<PromptRun> runs, CancellationToken cancellation) =>
        runs.Count == 1 ? ReadOne(runs[0], cancellation) : ReadMany(runs, cancellation);

    private static async IAsyncEnumerable<ChoiceEvent> ReadOne(PromptRun run, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (TextEvent next in run.Output.WithCancellation(cancellation))
            yield return new ChoiceEvent(run.Choices[next.Index], next);
    }

    private static async IAsyncEnumerable<ChoiceEvent> ReadMany(IReadOnlyList<PromptRun> runs,
        [EnumeratorCancellation] CancellationToken cancellation)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Channel<ChoiceEvent> merged = Channel.CreateBounded<ChoiceEvent>(new BoundedChannelOptions(BufferedMax) { SingleReader = true });
        Task pumps = PumpAllAsync(runs, merged.Writer, stop.Token);
        try
        {
            await foreach (ChoiceEvent next in merged.Reader.ReadAllAsync(cancellation))
                yield return next;
        }
        finally
        {
            await stop.CancelAsync();
            await pumps;
        }
    }

    private static async Task PumpAllAsync(IReadOnlyList<PromptRun> runs, ChannelWriter<ChoiceEvent> writer, CancellationToken cancellation)
    {
        try
        {
            await Task.WhenAll(runs.Select(run => PumpAsync(run, writer, cancellation)));
            writer.TryComplete();
        }
        catch (Exception failure)
        {
            writer.TryComplete(failure);
        }
    }

    private static async Task PumpAsync(PromptRun run, ChannelWriter<ChoiceEvent> writer, CancellationToken cancellation)
    {
        await foreach (TextEvent next in run.Output.WithCancellation(cancellation))
            await writer.WriteAsync(new ChoiceEvent(run.Choices[next.Index], next), cancellation);
    }
}
