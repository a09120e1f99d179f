using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// What a kernel test runs on: each instruction family of the CPU, the emulator where it is built, and a GPU where there is one. Rows of
/// a theory carry the trait Category = Gpu or Emulated, so that a machine with a GPU can run just those.
/// </summary>
internal static class Targets
{
    private static readonly Isa[] Families = [Isa.Scalar, Isa.Avx2, Isa.Avx512, Isa.Avx512BF16, Isa.Amx];

    private static readonly Backend[] Devices = [.. new[] { Backend.Emulated, Backend.Cuda }.Where(IsPresent)];

    public static IEnumerable<DType> FloatTypes { get; } = [DType.F32, DType.BF16, DType.F16];

    public static IEnumerable<TheoryDataRow<string>> Each { get; } = [.. All.Select(t => Marked(new TheoryDataRow<string>(t), t))];

    /// <summary>Each backend once: the CPU with its best family.</summary>
    public static IEnumerable<TheoryDataRow<string>> EachBackend { get; } =
        [.. Devices.Prepend(Backend.Cpu).Select(b => $"{b}/{Isa.Auto}".ToLowerInvariant()).Select(t => Marked(new TheoryDataRow<string>(t), t))];

    public static IEnumerable<TheoryDataRow<string, DType>> EachType => With(FloatTypes);

    private static IEnumerable<string> All => [.. Families.Select(f => $"cpu/{f}"), .. Devices.Select(b => $"{b}/{Isa.Auto}".ToLowerInvariant())];

    public static IEnumerable<TheoryDataRow<string, T>> With<T>(IEnumerable<T> values) =>
        from target in All from value in values select Marked(new TheoryDataRow<string, T>(target, value), target);

    public static IEnumerable<TheoryDataRow<string, T>> EachBackendWith<T>(IEnumerable<T> values) =>
        from row in EachBackend from value in values select Marked(new TheoryDataRow<string, T>(row.Data, value), row.Data);

    public static IEnumerable<TheoryDataRow<string, T1, T2>> With<T1, T2>(IEnumerable<T1> first, IEnumerable<T2> second) =>
        from target in All from a in first from b in second select Marked(new TheoryDataRow<string, T1, T2>(target, a, b), target);

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

    /// <summary>Worker threads that bits must not depend on; only the CPU has any to vary.</summary>
    public static int[] ThreadCounts(string target) => target.StartsWith("cpu", StringComparison.Ordinal) ? [1, 2, 3] : [0];

    private static TRow Marked<TRow>(TRow row, string target)
        where TRow : TheoryDataRowBase
    {
        if (!target.StartsWith("cpu", StringComparison.Ordinal))
            row.Traits["Category"] = [target.StartsWith("cuda", StringComparison.Ordinal) ? "Gpu" : "Emulated"];
        return row;
    }

    // The CUDA library loads on any machine; whether a GPU is there shows when a device is opened.
    private static bool IsPresent(Backend kind)
    {
        try
        {
            using Device device = NativeLibraryLoader.Load(kind).OpenDevice(new DeviceOptions());
            return device.Info.Backend == kind;
        }
        catch (NativeException)
        {
            return false;
        }
    }
}
