using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>Opens the device that the options ask for.</summary>
internal static class DeviceSelection
{
    private const string DriverVersionFile = "/proc/driver/nvidia/version";

    /// <summary>Throws <see cref="EngineStartException"/> or <see cref="NativeLoadException"/> with what was found and what is needed.</summary>
    public static Device Open(EngineOptions options) => options.Device switch
    {
        DeviceKind.Cpu => OpenCpu(options, Backend.Cpu),
        DeviceKind.Emulated => OpenCpu(options, Backend.Emulated),
        DeviceKind.Cuda => OpenCuda(options),
        _ => HasCuda(options) ? OpenCuda(options) : OpenCpu(options, Backend.Cpu),
    };

    private static Device OpenCpu(EngineOptions options, Backend backend)
    {
        NativeLibrary library = NativeLibraryLoader.Load(backend, options.NativeLibraryFolder);
        Isa isa = ParseIsa(options.InstructionSet);
        if (isa != Isa.Auto && !library.IsSupported(isa))
        {
            IEnumerable<string> supported = Enum.GetValues<Isa>().Where(family => family != Isa.Auto && library.IsSupported(family)).Select(NameOf);
            throw new EngineStartException($"instruction set: found a machine with {string.Join(", ", supported)}, needed {options.InstructionSet}");
        }
        return library.OpenDevice(new DeviceOptions { ThreadCount = options.Threads, Isa = isa });
    }

    private static Device OpenCuda(EngineOptions options)
    {
        try
        {
            return NativeLibraryLoader.Load(Backend.Cuda, options.NativeLibraryFolder).OpenDevice(new DeviceOptions());
        }
        catch (NativeException cause)
        {
            throw new EngineStartException(
                $"--device cuda: found {Driver()}; needed an NVIDIA GPU with its driver, and {NativeLibraryLoader.FileName(Backend.Cuda)}. "
                + $"Use --device cpu to compute on the processor. ({cause.Message})", cause);
        }
    }

    private static bool HasCuda(EngineOptions options)
    {
        if (!File.Exists(DriverVersionFile))
            return false;
        try
        {
            NativeLibraryLoader.Load(Backend.Cuda, options.NativeLibraryFolder);
            return true;
        }
        catch (NativeLoadException)
        {
            return false;
        }
    }

    private static string Driver()
    {
        try
        {
            return File.ReadLines(DriverVersionFile).FirstOrDefault()?.Trim() ?? "no NVIDIA driver";
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            return "no NVIDIA driver";
        }
    }

    /// <summary>The option's spelling of a family.</summary>
    public static string NameOf(Isa isa) => isa switch
    {
        Isa.Auto => "auto",
        Isa.Scalar => "scalar",
        Isa.Avx2 => "avx2",
        Isa.Avx512 => "avx512",
        Isa.Avx512BF16 => "avx512_bf16",
        Isa.Amx => "amx",
        _ => $"family {(int)isa}",
    };

    private static Isa ParseIsa(string? name)
    {
        if (name is null)
            return Isa.Auto;
        foreach (Isa isa in Enum.GetValues<Isa>())
            if (NameOf(isa) == name)
                return isa;
        throw new ArgumentException($"instruction set: found {name}, needed {string.Join(", ", Enum.GetValues<Isa>().Select(NameOf))}");
    }
}
