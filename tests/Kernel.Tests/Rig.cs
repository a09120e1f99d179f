using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>An open device with one stream, and the buffers a test made on it.</summary>
internal sealed unsafe class Rig : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    public Rig(string target, int threads = 2)
    {
        (Library, Isa isa) = Targets.Parse(target);
        Device = Library.OpenDevice(new DeviceOptions { ThreadCount = threads, Isa = isa });
        Stream = Device.CreateStream();
    }

    public NativeLibrary Library { get; }

    public Device Device { get; }

    public DeviceStream Stream { get; }

    public Ops Ops => Stream.Ops;

    public T Own<T>(T resource)
        where T : IDisposable
    {
        _owned.Add(resource);
        return resource;
    }

    public Tensor Tensor(DType type, int count) => new(this, type, count);

    public Tensor Tensor(DType type, ReadOnlySpan<float> values) => new(this, type, values);

    /// <summary>A device pointer to the values.</summary>
    public int* Integers(params ReadOnlySpan<int> values) => (int*)new Tensor(this, values).Pointer;

    public float* Floats(params ReadOnlySpan<float> values) => (float*)Tensor(DType.F32, values).Pointer;

    /// <summary>Zero-filled memory without canaries.</summary>
    public void* Memory(long bytes) => Own(Device.Allocate(Math.Max(bytes, 64))).Pointer;

    /// <summary>Zero-filled host memory that outlives the test's calls.</summary>
    public void* HostMemory(long bytes) => Own(Device.AllocatePinned(Math.Max(bytes, 64))).Pointer;

    /// <summary>A device pointer to the values.</summary>
    public T* Upload<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        T* memory = (T*)Memory((long)values.Length * sizeof(T));
        Upload(memory, values);
        return memory;
    }

    /// <summary>Copies values to device memory and waits.</summary>
    public void Upload<T>(void* destination, ReadOnlySpan<T> values)
        where T : unmanaged
    {
        fixed (T* source = values)
            Ops.Copy(destination, source, (long)values.Length * sizeof(T), CopyKind.ToDevice);
        Stream.Synchronize();
    }

    /// <summary>Copies values from device memory once the work queued before is done.</summary>
    public T[] Download<T>(void* source, int count)
        where T : unmanaged
    {
        T[] values = new T[count];
        fixed (T* destination = values)
            Ops.Copy(destination, source, (long)count * sizeof(T), CopyKind.ToHost);
        Stream.Synchronize();
        return values;
    }

    public void Dispose()
    {
        foreach (IDisposable resource in _owned)
            resource.Dispose();
        Stream.Dispose();
        Device.Dispose();
    }
}
