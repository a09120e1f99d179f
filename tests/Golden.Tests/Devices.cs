using NativeLM.Engine;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests;

/// <summary>The devices that a model test runs on without hardware: the processor, and the GPU's kernels on the emulator.</summary>
internal static class Devices
{
    public static IEnumerable<DeviceKind> All { get; } = [DeviceKind.Cpu, DeviceKind.Emulated];

    public static TheoryData<DeviceKind> Each => [.. All];

    /// <summary>Skips the test, with the loader's message, where the device's library is not built. The processor's always is.</summary>
    public static void Require(DeviceKind device)
    {
        if (device != DeviceKind.Emulated)
            return;
        try
        {
            NativeLibraryLoader.Load(Backend.Emulated);
        }
        catch (NativeLoadException absent)
        {
            Assert.Skip(absent.Message);
        }
    }
}
