namespace NativeLM.Interop;

/// <summary>
/// Work recorded by <see cref="DeviceStream.Capture"/>, replayed by <see cref="DeviceStream.Launch"/>: the same operations on the same
/// addresses, with what lies there at each launch. Dispose it before the buffers it names. Disposing twice is harmless.
/// </summary>
public sealed unsafe class DeviceGraph : IDisposable
{
    private readonly GraphSafeHandle _handle;

    internal DeviceGraph(Device device, GraphHandle* graph) => _handle = new GraphSafeHandle(device.Api, graph, device.SafeHandle);

    internal GraphHandle* Handle => (GraphHandle*)_handle.Pointer;

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();
}
