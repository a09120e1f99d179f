namespace NativeLM.Interop;

/// <summary>Host memory that a device copies from and to asynchronously. On cpu it is ordinary memory.</summary>
public sealed class PinnedBuffer : DeviceBuffer
{
    internal PinnedBuffer(Device device, long bytes)
        : base(device, bytes, MemoryKind.Pinned)
    {
    }
}
