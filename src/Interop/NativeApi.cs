using Runtime = System.Runtime.InteropServices;

namespace NativeLM.Interop;

internal sealed unsafe partial class NativeApi
{
    private static void* Resolve(nint library, string path, string symbol) =>
        Runtime.NativeLibrary.TryGetExport(library, symbol, out nint address)
            ? (void*)address
            : throw new NativeLoadException($"{path}: {symbol} is missing; build the library again with scripts/build.sh");
}
