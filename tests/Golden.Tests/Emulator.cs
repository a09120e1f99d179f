using System.Runtime.InteropServices;
using System.Text;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests;

/// <summary>What libnativelm_emulated exports beside the ABI (native/emulation/nativelm_emulator.h). Settings are those of the whole process.</summary>
internal static unsafe class Emulator
{
    private static readonly nint Library = System.Runtime.InteropServices.NativeLibrary.Load(NativeLibraryLoader.Load(Backend.Emulated).Path);

    /// <summary>Changes settings, such as "streams=deferred".</summary>
    public static void Configure(string settings) => Assert.Equal(0, Call("nlm_emulator_configure", settings));

    /// <summary>Makes the device misbehave, such as "launch:17"; "" heals it.</summary>
    public static void Inject(string fault) => Assert.Equal(0, Call("nlm_emulator_inject", fault));

    /// <summary>A counter since the process began.</summary>
    public static long Counter(string name)
    {
        fixed (byte* text = Encoding.UTF8.GetBytes(name + "\0"))
            return ((delegate* unmanaged[Cdecl]<byte*, long>)Export("nlm_emulator_counter"))(text);
    }

    private static int Call(string function, string argument)
    {
        fixed (byte* text = Encoding.UTF8.GetBytes(argument + "\0"))
            return ((delegate* unmanaged[Cdecl]<byte*, int>)Export(function))(text);
    }

    private static nint Export(string name) => System.Runtime.InteropServices.NativeLibrary.GetExport(Library, name);
}
