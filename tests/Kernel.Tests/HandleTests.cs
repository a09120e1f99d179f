using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed unsafe class HandleTests
{
    public static IEnumerable<TheoryDataRow<string>> EachBackend => Targets.EachBackend;

    [Theory, MemberData(nameof(EachBackend))]
    public void Disposing_twice_is_harmless(string target)
    {
        Device device = Open(target);
        foreach (IDisposable owner in new IDisposable[] { device.Allocate(100), device.AllocatePinned(100), device.CreateStream(), device.CreateEvent(), device })
        {
            owner.Dispose();
            owner.Dispose();
        }
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Use_after_dispose_is_an_exception(string target)
    {
        Device device = Open(target);
        PinnedBuffer buffer = device.AllocatePinned(64);
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

    [Theory, MemberData(nameof(EachBackend))]
    public void Memory_outlives_its_device_until_it_is_freed_itself(string target)
    {
        Device device = Open(target);
        DeviceBuffer buffer = device.Allocate(1 << 20);
        DeviceStream stream = device.CreateStream();
        device.Dispose();
        stream.Ops.Fill(buffer.Pointer, 3, buffer.Bytes);
        Assert.True(Read(stream, buffer).IndexOfAnyExcept((byte)3) < 0);
        buffer.Dispose();
        stream.Dispose();
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Fresh_memory_is_zero_and_aligned(string target)
    {
        using Device device = Open(target);
        using DeviceStream stream = device.CreateStream();
        foreach (long bytes in new long[] { 1, 63, 64, 65, 4097, 1 << 22 })
        {
            using DeviceBuffer buffer = device.Allocate(bytes);
            Assert.Equal(0, (nint)buffer.Pointer % 64);
            Assert.Equal(bytes, buffer.Bytes);
            Assert.True(Read(stream, buffer).IndexOfAnyExcept((byte)0) < 0);
            stream.Ops.Fill(buffer.Pointer, 0xCD, bytes);
            Assert.True(Read(stream, buffer).IndexOfAnyExcept((byte)0xCD) < 0);
        }
        using DeviceBuffer small = device.Allocate(8);
        Assert.Throws<ArgumentOutOfRangeException>(() => (nint)small.At(9));
        Assert.Throws<ArgumentOutOfRangeException>(() => (nint)small.At(-1));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Copies_events_and_streams_do_what_they_say(string target)
    {
        using Device device = Open(target);
        using DeviceBuffer memory = device.Allocate(1000);
        using PinnedBuffer host = device.AllocatePinned(1000);
        using DeviceStream stream = device.CreateStream();
        using DeviceEvent marker = device.CreateEvent();
        new Random(1).NextBytes(host.AsSpan<byte>());
        byte[] want = host.AsSpan<byte>().ToArray();
        stream.Ops.Copy(memory.Pointer, host.Pointer, 1000, CopyKind.ToDevice);
        stream.Synchronize();
        host.AsSpan<byte>().Clear();
        stream.Ops.Copy(host.Pointer, memory.Pointer, 1000, CopyKind.ToHost);
        marker.Record(stream);
        marker.Synchronize();
        Assert.True(marker.IsDone);
        Assert.Equal(want, host.AsSpan<byte>().ToArray());
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void The_device_describes_itself(string target)
    {
        using Device device = Open(target, threads: 2);
        Assert.Equal(device.Library.Backend, device.Info.Backend);
        bool cpu = device.Info.Backend == Backend.Cpu;
        Assert.Equal(cpu ? 2 : 0, device.Info.ThreadCount);
        Assert.Equal(cpu, device.Info.Isa != Isa.Auto && device.Library.IsSupported(device.Info.Isa));
        Assert.Equal(cpu, device.Info.ComputeCapability == 0 && device.Info.Multiprocessors == 0);
        Assert.NotEmpty(device.Name);
        Assert.True(device.Info.MemoryBytesTotal >= device.Info.MemoryBytesFree && device.Info.MemoryBytesFree > 0);
    }
    [Fact]
    public void Memory_of_a_gpu_is_not_handed_out_as_a_span()
    {
        using Device device = Open("cpu/auto");
        using DeviceBuffer reachable = device.Allocate(64);
        Assert.Equal(64, reachable.AsSpan<byte>().Length);
        if (Targets.EachBackend.All(row => row.Data != "cuda/auto"))
            return;
        using Device gpu = Open("cuda/auto");
        using DeviceBuffer memory = gpu.Allocate(64);
        Assert.Contains("pinned", Assert.Throws<InvalidOperationException>(() => memory.AsSpan<byte>()[0]).Message);
    }

    private static Device Open(string target, int threads = 1) =>
        Targets.Parse(target).Library.OpenDevice(new DeviceOptions { ThreadCount = threads });

    private static ReadOnlySpan<byte> Read(DeviceStream stream, DeviceBuffer buffer)
    {
        byte[] host = new byte[buffer.Bytes];
        fixed (byte* destination = host)
            stream.Ops.Copy(destination, buffer.Pointer, buffer.Bytes, CopyKind.ToHost);
        stream.Synchronize();
        return host;
    }
}
