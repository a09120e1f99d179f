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

    /// <summary>Work given to this stream from now on starts after the event's last record, on whichever stream that was.</summary>
    public void Wait(DeviceEvent marker) => Status.Check(Device.Api, Device.Api.StreamWaitEvent(Handle, marker.Handle));

    /// <summary>
    /// Records what <paramref name="work"/> queues on this stream instead of running it. It may name device and pinned memory only, and may
    /// not wait, free memory, pack weights or count tokens: then an exception leaves no graph and the stream as it was.
    /// </summary>
    public DeviceGraph Capture(Action work)
    {
        NativeApi api = Device.Api;
        GraphHandle* graph;
        Status.Check(api, api.GraphBegin(Handle));
        try
        {
            work();
        }
        catch
        {
            if (api.GraphEnd(Handle, &graph) == StatusCode.Ok)
                api.GraphDestroy(graph);
            throw;
        }
        Status.Check(api, api.GraphEnd(Handle, &graph));
        return new DeviceGraph(Device, graph);
    }

    /// <summary>Queues everything that the graph recorded.</summary>
    public void Launch(DeviceGraph graph) => Status.Check(Device.Api, Device.Api.GraphLaunch(Handle, graph.Handle));

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();
}
