using System.Runtime.InteropServices;
using NativeLM.Engine.Sequences;

namespace NativeLM.Engine.Scheduling;

/// <summary>
/// What one key asked for and what it was given. Keys that wait are served in the order of their counters, which grow by the tokens served
/// (virtual token counter, "Fairness in Serving Large Language Models", OSDI 2024). Engine thread only, where nothing else is said.
/// </summary>
/// <param name="name">The key's name.</param>
/// <param name="weight">Its share relative to other keys, above 0.</param>
internal sealed class KeyQueue(string name, double weight = 1)
{
    private const double InputCost = 1;
    private const double OutputCost = 2; // a decoded token reads all weights for itself, a prompt's tokens share one read

    private readonly List<SequenceGroup> _waiting = [];

    public string Name { get; } = name;

    public double Weight { get; } = weight;

    /// <summary>Requests that have not had their first step, each as many times as it is wide. Guarded by the admission queue.</summary>
    public int QueuedCount { get; set; }

    /// <summary>Requests that have not run yet, in the order of service.</summary>
    public ReadOnlySpan<SequenceGroup> Waiting => CollectionsMarshal.AsSpan(_waiting);

    /// <summary>Service received, in weighted tokens. Those that came from the prefix cache are free.</summary>
    public double Counter { get; private set; }

    /// <summary>Requests that wait or run.</summary>
    public int LiveCount { get; set; }

    /// <summary>Tokens computed and drawn for this key.</summary>
    public long ServedTokenCount { get; private set; }

    /// <summary>First entry that the present scan has not looked at.</summary>
    public int ScanPosition { get; set; }

    /// <summary>Puts a request in its place: behind those of its priority.</summary>
    public void Add(SequenceGroup group)
    {
        int index = _waiting.Count;
        while (index > 0 && group.IsBefore(_waiting[index - 1]))
            index--;
        _waiting.Insert(index, group);
    }

    /// <summary>Takes a request out, wherever it stands.</summary>
    public void Remove(SequenceGroup group)
    {
        int index = _waiting.IndexOf(group);
        if (index < 0)
            throw new InvariantException($"request {group.Arrival} is {group.State} but not in the queue of its key");
        _waiting.RemoveAt(index);
        if (index < ScanPosition)
            ScanPosition--;
    }

    /// <summary>Counts service.</summary>
    public void Charge(int inputTokens, int outputTokens)
    {
        Counter += ((InputCost * inputTokens) + (OutputCost * outputTokens)) / Weight;
        ServedTokenCount += inputTokens + outputTokens;
    }

    /// <summary>A key that was idle has saved up nothing.</summary>
    public void LiftTo(double counter) => Counter = Math.Max(Counter, counter);
}
