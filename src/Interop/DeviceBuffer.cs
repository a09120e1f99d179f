using System.Runtime.CompilerServices;

namespace NativeLM.Interop;

/// <summary>Device memory, 64-byte aligned, zero-filled at first. Disposing frees it; twice is harmless, use afterwards throws.</summary>
public unsafe class DeviceBuffer : IDisposable
{
    private readonly MemorySafeHandle _handle;
    private readonly bool _hostReadable;

    internal DeviceBuffer(Device device, long bytes, MemoryKind kind)
    {
        void* memory;
        Status.Check(device.Api, device.Api.MemoryAllocate(device.Handle, bytes, (int)kind, &memory));
        _handle = new MemorySafeHandle(device.Api, memory, device.SafeHandle);
        _hostReadable = kind == MemoryKind.Pinned || device.Library.Backend != Backend.Cuda;
        Bytes = bytes;
    }

    /// <summary>Size in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Start of the memory. Valid until dispose: whoever keeps the pointer keeps the buffer.</summary>
    public void* Pointer => _handle.Pointer;

    /// <summary>Pointer to byte <paramref name="byteOffset"/>, which may be one past the end.</summary>
    public void* At(long byteOffset)
    {
        if ((ulong)byteOffset > (ulong)Bytes)
            throw new ArgumentOutOfRangeException(nameof(byteOffset), byteOffset, $"found {byteOffset}, needed 0 to {Bytes}");
        return (byte*)_handle.Pointer + byteOffset;
    }

    /// <summary>
    /// The memory as elements, where the host can reach it (cpu, emulated, pinned). Valid until dispose; at most 2³¹ - 1 elements from
    /// <paramref name="byteOffset"/> on. Throws <see cref="InvalidOperationException"/> for memory on a GPU.
    /// </summary>
    public Span<T> AsSpan<T>(long byteOffset = 0)
        where T : unmanaged
    {
        if (!_hostReadable)
            throw new InvalidOperationException("device memory of a GPU cannot be read by the host; copy it to a pinned buffer");
        long count = Math.Min((Bytes - byteOffset) / Unsafe.SizeOf<T>(), int.MaxValue);
        return new Span<T>(At(byteOffset), (int)count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _handle.Dispose();
        GC.SuppressFinalize(this);
    }
}
