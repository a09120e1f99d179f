using NativeLM.Engine;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests;

/// <summary>
/// The devices that a model test runs on: without hardware the processor and the GPU's kernels on the emulator; on a machine with a GPU those
/// that NATIVELM_TEST_DEVICES names ("cuda"), which must be there.
/// </summary>
internal static class Devices
{
    private static readonly Lazy<string?> EmulatorIsAbsent = new(FindEmulator);

    public static IEnumerable<DeviceKind> All { get; } = Environment.GetEnvironmentVariable("NATIVELM_TEST_DEVICES") is { Length: > 0 } names
        ? [.. names.Split(',').Select(n => Enum.Parse<DeviceKind>(n, ignoreCase: true))]
        : [DeviceKind.Cpu, DeviceKind.Emulated];

    public static TheoryData<DeviceKind> Each => [.. All];

    /// <summary>Skips the test, with the loader's message, where the device's library is not built. The processor's always is.</summary>
    public static void Require(DeviceKind device)
    {
        if (device == DeviceKind.Emulated && EmulatorIsAbsent.Value is string message)
            Assert.Skip(message);
    }

    private static string? FindEmulator()
    {
        try
        {
            NativeLibraryLoader.Load(Backend.Emulated);
        }
        catch (NativeLoadException absent)
        {
            return absent.Message;
        }
        // Work runs as late as the ABI allows: a buffer that the host writes or reads too early shows.
        Emulator.Configure("streams=deferred");
        return null;
    }
}
