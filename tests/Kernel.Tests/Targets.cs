using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>What a kernel test runs on: each backend that is built, and for the CPU each instruction family.</summary>
internal static class Targets
{
    private static readonly Isa[] Families = [Isa.Scalar, Isa.Avx2, Isa.Avx512, Isa.Avx512BF16, Isa.Amx];

    public static IEnumerable<string> All { get; } =
        [.. Families.Select(f => $"cpu/{f}"), .. new[] { Backend.Emulated, Backend.Cuda }.Where(IsBuilt).Select(b => $"{b}/{Isa.Auto}".ToLowerInvariant())];

    public static IEnumerable<DType> FloatTypes { get; } = [DType.F32, DType.BF16, DType.F16];

    public static TheoryData<string> Each => [.. All];

    public static MatrixTheoryData<string, DType> EachType => new(All, FloatTypes);

    /// <summary>Loads the backend; a missing CPU library fails with the loader's own message, which says how to build it.</summary>
    public static (NativeLibrary Library, Isa Isa) Parse(string target)
    {
        string[] parts = target.Split('/');
        NativeLibrary library = NativeLibraryLoader.Load(Enum.Parse<Backend>(parts[0], ignoreCase: true));
        Isa isa = Enum.Parse<Isa>(parts[1], ignoreCase: true);
        if (isa != Isa.Auto && !library.IsSupported(isa))
            Assert.Skip($"this processor cannot run {isa}: its kernels are not covered here");
        return (library, isa);
    }

    private static bool IsBuilt(Backend kind)
    {
        try
        {
            return NativeLibraryLoader.Load(kind).Backend == kind;
        }
        catch (NativeLoadException)
        {
            return false;
        }
    }
}
