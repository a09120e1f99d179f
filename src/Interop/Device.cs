using System.Text;

namespace NativeLM.Interop;

/// <summary>
/// An open device. Owns its threads or its context; memory, streams, events and graphs hold it open until they are disposed themselves.
/// Disposing twice is harmless; use after dispose throws <see cref="ObjectDisposedException"/>.
/// </summary>
public sealed unsafe class Device : IDisposable
{
    private readonly DeviceSafeHandle _handle;

    internal Device(NativeLibrary library, DeviceHandle* handle)
    {
        Library = library;
        _handle = new DeviceSafeHandle(library.Api, handle);
        Info = ReadInfo();
        (Name, Driver) = Describe(Info);
    }

    /// <summary>The library that this device came from; size queries live there.</summary>
    public NativeLibrary Library { get; }

    /// <summary>Facts at the time of opening. <see cref="ReadInfo"/> has the free memory of now.</summary>
    public DeviceInfo Info { get; }

    /// <summary>Processor or card.</summary>
    public string Name { get; }

    /// <summary>Driver and toolkit versions, or empty.</summary>
    public string Driver { get; }

    internal NativeApi Api => Library.Api;

    internal DeviceHandle* Handle => (DeviceHandle*)_handle.Pointer;

    internal DeviceSafeHandle SafeHandle => _handle;

    /// <summary>Reads the device's facts again.</summary>
    public DeviceInfo ReadInfo()
    {
        DeviceInfo info = new() { Size = (uint)sizeof(DeviceInfo) };
        Status.Check(Api, Api.DeviceGetInfo(Handle, &info));
        return info;
    }

    /// <summary>Allocates zero-filled device memory, 64-byte aligned. Throws <see cref="DeviceOutOfMemoryException"/>.</summary>
    public DeviceBuffer Allocate(long bytes) => new(this, bytes, MemoryKind.Device);

    /// <summary>Allocates zero-filled host memory that the device copies from at full speed, 64-byte aligned.</summary>
    public PinnedBuffer AllocatePinned(long bytes) => new(this, bytes);

    /// <summary>Creates an in-order queue of work.</summary>
    public DeviceStream CreateStream() => new(this);

    /// <summary>Creates a marker that a stream can record.</summary>
    public DeviceEvent CreateEvent() => new(this);

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private static (string Name, string Driver) Describe(DeviceInfo info) => (Text(info.Name), Text(info.Driver));

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
