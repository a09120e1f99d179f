using System.Runtime.CompilerServices;
using System.Threading.Channels;
using NativeLM.Engine;

namespace NativeLM.Server.Generations;

/// <summary>One event of one choice.</summary>
internal readonly record struct ChoiceEvent(Choice Choice, TextEvent Event);

/// <summary>Events of all choices of a request in the order they come. Stopping the enumeration cancels every generation.</summary>
internal static class ChoiceEvents
{
    private const int BufferedMax = 256;

    public static IAsyncEnumerable<ChoiceEvent> Read(IReadOnlyList<Choice> choices, CancellationToken cancellation) =>
        choices.Count == 1 ? ReadOne(choices[0], cancellation) : ReadMany(choices, cancellation);

    private static async IAsyncEnumerable<ChoiceEvent> ReadOne(Choice choice, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (TextEvent next in choice.Output.WithCancellation(cancellation))
            yield return new ChoiceEvent(choice, next);
    }

    private static async IAsyncEnumerable<ChoiceEvent> ReadMany(IReadOnlyList<Choice> choices,
        [EnumeratorCancellation] CancellationToken cancellation)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Channel<ChoiceEvent> merged = Channel.CreateBounded<ChoiceEvent>(new BoundedChannelOptions(BufferedMax) { SingleReader = true });
        Task pumps = PumpAllAsync(choices, merged.Writer, stop.Token);
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

    private static async Task PumpAllAsync(IReadOnlyList<Choice> choices, ChannelWriter<ChoiceEvent> writer, CancellationToken cancellation)
    {
        try
        {
            await Task.WhenAll(choices.Select(choice => PumpAsync(choice, writer, cancellation)));
            writer.TryComplete();
        }
        catch (Exception failure)
        {
            writer.TryComplete(failure);
        }
    }

    private static async Task PumpAsync(Choice choice, ChannelWriter<ChoiceEvent> writer, CancellationToken cancellation)
    {
        await foreach (TextEvent next in choice.Output.WithCancellation(cancellation))
            await writer.WriteAsync(new ChoiceEvent(choice, next), cancellation);
    }
}
