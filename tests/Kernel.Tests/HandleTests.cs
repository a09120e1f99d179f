using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed unsafe class HandleTests
{
    private static NativeLibrary Library => NativeLibraryLoader.Load(Backend.Cpu);

    [Fact]
    public void Disposing_twice_is_harmless()
    {
        Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 1 });
        foreach (IDisposable owner in new IDisposable[] { device.Allocate(100), device.AllocatePinned(100), device.CreateStream(), device.CreateEvent(), device })
        {
            owner.Dispose();
            owner.Dispose();
        }
    }

    [Fact]
    public void Use_after_dispose_is_an_exception()
    {
        Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 1 });
        DeviceBuffer buffer = device.Allocate(64);
        DeviceStream stream = device.CreateStream();
        DeviceEvent marker = device.CreateEvent();
        buffer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => buffer.AsSpan<byte>()[0]);
        Assert.Throws<ObjectDisposedException>(() => (nint)buffer.Pointer);
        stream.Dispose();
        Assert.Throws<ObjectDisposedException>(stream.Synchronize);
        Assert.Throws<ObjectDisposedException>(() => stream.Ops.Norm(default));
        marker.Dispose();
        Assert.Throws<ObjectDisposedException>(() => marker.IsDone);
        device.Dispose();
        Assert.Throws<ObjectDisposedException>(() => device.Allocate(64));
        Assert.Throws<ObjectDisposedException>(device.CreateStream);
    }

    [Fact]
    public void Memory_outlives_its_device_until_it_is_freed_itself()
    {
        Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 2 });
        DeviceBuffer buffer = device.Allocate(1 << 20);
        DeviceStream stream = device.CreateStream();
        device.Dispose();
        stream.Ops.Fill(buffer.Pointer, 3, buffer.Bytes);
        Assert.True(buffer.AsSpan<byte>().IndexOfAnyExcept((byte)3) < 0);
        buffer.Dispose();
        stream.Dispose();
    }

    [Fact]
    public void Fresh_memory_is_zero_and_aligned()
    {
        using Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 1 });
        foreach (long bytes in new long[] { 1, 63, 64, 65, 4097, 1 << 22 })
        {
            using DeviceBuffer buffer = device.Allocate(bytes);
            Assert.Equal(0, (nint)buffer.Pointer % 64);
            Assert.Equal(bytes, buffer.AsSpan<byte>().Length);
            Assert.True(buffer.AsSpan<byte>().IndexOfAnyExcept((byte)0) < 0);
            buffer.AsSpan<byte>().Fill(0xCD);
        }
        using DeviceBuffer small = device.Allocate(8);
        Assert.Throws<ArgumentOutOfRangeException>(() => (nint)small.At(9));
        Assert.Throws<ArgumentOutOfRangeException>(() => (nint)small.At(-1));
    }

    [Fact]
    public void Copies_events_and_streams_do_what_they_say()
    {
        using Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 1 });
        using DeviceBuffer memory = device.Allocate(1000);
        using PinnedBuffer host = device.AllocatePinned(1000);
        using DeviceStream stream = device.CreateStream();
        using DeviceEvent marker = device.CreateEvent();
        new Random(1).NextBytes(host.AsSpan<byte>());
        byte[] want = host.AsSpan<byte>().ToArray();
        stream.Ops.Copy(memory.Pointer, host.Pointer, 1000, CopyKind.ToDevice);
        host.AsSpan<byte>().Clear();
        stream.Ops.Copy(host.Pointer, memory.Pointer, 1000, CopyKind.ToHost);
        marker.Record(stream);
        marker.Synchronize();
        Assert.True(marker.IsDone);
        Assert.Equal(want, host.AsSpan<byte>().ToArray());
    }

    [Fact]
    public void The_device_describes_itself()
    {
        using Device device = Library.OpenDevice(new DeviceOptions { ThreadCount = 2 });
        Assert.Equal(Backend.Cpu, device.Info.Backend);
        Assert.Equal(2, device.Info.ThreadCount);
        Assert.NotEqual(Isa.Auto, device.Info.Isa);
        Assert.True(Library.IsSupported(device.Info.Isa));
        Assert.NotEmpty(device.Name);
        Assert.True(device.Info.MemoryBytesTotal >= device.Info.MemoryBytesFree && device.Info.MemoryBytesFree > 0);
    }
}
