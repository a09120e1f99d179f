using NativeLM.Interop;

namespace NativeLM.Benchmarks.Kernel;

/// <summary>The backends whose library is built here and finds its device.</summary>
internal static class Backends
{
    public static IEnumerable<Backend> Present { get; } = [.. Enum.GetValues<Backend>().Where(IsPresent)];

    /// <summary>One thread, so that a call's own cost shows and not that of waking others.</summary>
    public static Device Open(Backend backend) => NativeLibraryLoader.Load(backend).OpenDevice(new DeviceOptions { ThreadCount = 1 });

    private static bool IsPresent(Backend backend)
    {
        try
        {
            Open(backend).Dispose();
            return true;
        }
        catch (Exception error) when (error is NativeLoadException or NativeException)
        {
            return false;
        }
    }
}
