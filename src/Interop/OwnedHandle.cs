using System.Runtime.InteropServices;

namespace NativeLM.Interop;

/// <summary>Owner of one native object. Keeps its function table, and the device open, as long as the object lives.</summary>
internal abstract unsafe class OwnedHandle : SafeHandle
{
    private readonly OwnedHandle? _device;

    protected OwnedHandle(NativeApi api, void* pointer, OwnedHandle? device)
        : base(0, ownsHandle: true)
    {
        Api = api;
        if (device is not null)
        {
            // Released in ReleaseHandle: a device must outlive what was made from it, whatever the order of finalizers.
            bool added = false;
            device.DangerousAddRef(ref added);
            _device = device;
        }
        SetHandle((nint)pointer);
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>The raw pointer; throws after dispose. The caller keeps the owner alive during the call.</summary>
    public void* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return (void*)handle;
        }
    }

    protected NativeApi Api { get; }

    protected abstract StatusCode Release(void* pointer);

    protected sealed override bool ReleaseHandle()
    {
        StatusCode code = Release((void*)handle);
        _device?.DangerousRelease();
        return code == StatusCode.Ok;
    }
}

internal sealed unsafe class DeviceSafeHandle(NativeApi api, DeviceHandle* pointer) : OwnedHandle(api, pointer, null)
{
    protected override StatusCode Release(void* pointer) => Api.DeviceClose((DeviceHandle*)pointer);
}

internal sealed unsafe class StreamSafeHandle(NativeApi api, StreamHandle* pointer, DeviceSafeHandle device) : OwnedHandle(api, pointer, device)
{
    protected override StatusCode Release(void* pointer) => Api.StreamDestroy((StreamHandle*)pointer);
}

internal sealed unsafe class EventSafeHandle(NativeApi api, EventHandle* pointer, DeviceSafeHandle device) : OwnedHandle(api, pointer, device)
{
    protected override StatusCode Release(void* pointer) => Api.EventDestroy((EventHandle*)pointer);
}

internal sealed unsafe class GraphSafeHandle(NativeApi api, GraphHandle* pointer, DeviceSafeHandle device) : OwnedHandle(api, pointer, device)
{
    protected override StatusCode Release(void* pointer) => Api.GraphDestroy((GraphHandle*)pointer);
}

internal sealed unsafe class MemorySafeHandle : OwnedHandle
{
    private readonly DeviceHandle* _owner;

    public MemorySafeHandle(NativeApi api, void* pointer, DeviceSafeHandle device)
        : base(api, pointer, device) => _owner = (DeviceHandle*)device.Pointer;

    protected override StatusCode Release(void* pointer) => Api.MemoryFree(_owner, pointer);
}
