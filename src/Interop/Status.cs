using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NativeLM.Interop;

/// <summary>Turns a status into an exception. The message is fetched only on failure, on the failing thread, at once.</summary>
internal static class Status
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(NativeApi api, StatusCode code)
    {
        if (code != StatusCode.Ok)
            Throw(api, code);
    }

    /// <summary>Sizes are -1 when the arguments are out of range.</summary>
    public static long CheckBytes(NativeApi api, long bytes, string what)
    {
        if (bytes >= 0)
            return bytes;
        string reason = LastError(api);
        throw new NativeArgumentException(reason.Length > 0 ? reason : $"{what}: arguments out of range");
    }

    public static unsafe string LastError(NativeApi api) => Marshal.PtrToStringUTF8((nint)api.LastError()) ?? "";

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Throw(NativeApi api, StatusCode code)
    {
        string message = LastError(api);
        throw code switch
        {
            StatusCode.InvalidArgument => new NativeArgumentException(message),
            StatusCode.Unsupported => new NativeUnsupportedException(message),
            StatusCode.OutOfMemory => new DeviceOutOfMemoryException(message),
            StatusCode.DeviceLost => new DeviceLostException(message),
            _ => new NativeException($"{message} (status {(int)code})"),
        };
    }
}
