namespace NativeLM.Interop;

/// <summary>A marker in a stream: done when all work recorded before it has finished.</summary>
public sealed unsafe class DeviceEvent : IDisposable
{
    private readonly EventSafeHandle _handle;
    private readonly NativeApi _api;

    internal DeviceEvent(Device device)
    {
        _api = device.Api;
        EventHandle* created;
        Status.Check(_api, _api.EventCreate(device.Handle, &created));
        _handle = new EventSafeHandle(_api, created, device.SafeHandle);
    }

    /// <summary>Whether everything recorded before the event has finished.</summary>
    public bool IsDone
    {
        get
        {
            int done;
            Status.Check(_api, _api.EventQuery(Handle, &done));
            return done != 0;
        }
    }

    internal EventHandle* Handle => (EventHandle*)_handle.Pointer;

    /// <summary>Puts the marker behind the work queued on <paramref name="stream"/> so far.</summary>
    public void Record(DeviceStream stream) => Status.Check(_api, _api.EventRecord(Handle, stream.Handle));

    /// <summary>Waits for the marker.</summary>
    public void Synchronize() => Status.Check(_api, _api.EventSynchronize(Handle));

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();
}
