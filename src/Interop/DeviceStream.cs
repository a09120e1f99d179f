namespace NativeLM.Interop;

/// <summary>
/// An in-order queue of work; on cpu each call returns when its work is done. Used by one thread at a time.
/// Disposing twice is harmless; use after dispose throws <see cref="ObjectDisposedException"/>.
/// </summary>
public sealed unsafe class DeviceStream : IDisposable
{
    private readonly StreamSafeHandle _handle;

    internal DeviceStream(Device device)
    {
        Device = device;
        StreamHandle* stream;
        Status.Check(device.Api, device.Api.StreamCreate(device.Handle, &stream));
        _handle = new StreamSafeHandle(device.Api, stream, device.SafeHandle);
        Ops = new Ops(this);
    }

    /// <summary>Device that this stream queues work on.</summary>
    public Device Device { get; }

    /// <summary>The operations, bound to this stream.</summary>
    public Ops Ops { get; }

    internal StreamHandle* Handle => (StreamHandle*)_handle.Pointer;

    /// <summary>Waits until all queued work is done; failures of that work are thrown here.</summary>
    public void Synchronize() => Status.Check(Device.Api, Device.Api.StreamSynchronize(Handle));

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();
}
