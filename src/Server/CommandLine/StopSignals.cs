using System.Runtime.InteropServices;

namespace NativeLM.Server.CommandLine;

/// <summary>SIGTERM, SIGINT, SIGHUP and SIGQUIT: the first asks to stop in order, the second to stop at once.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly TaskCompletionSource _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _second = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private int _count;

    public StopSignals()
    {
        foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP, PosixSignal.SIGQUIT])
            _registrations.Add(PosixSignalRegistration.Create(signal, Handle));
    }

    /// <summary>Completes at the first signal.</summary>
    public Task First => _first.Task;

    /// <summary>Cancelled at the second.</summary>
    public CancellationToken Second => _second.Token;

    public void Dispose()
    {
        _registrations.ForEach(static registration => registration.Dispose());
        _second.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _count) == 1)
            _first.TrySetResult();
        else
            _second.Cancel();
    }
}
