using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>Opens the device that the options ask for.</summary>
internal static class DeviceSelection
{
    private const string DriverVersionFile = "/proc/driver/nvidia/version";

    /// <summary>Throws <see cref="EngineStartException"/> or <see cref="NativeLoadException"/> with what was found and what is needed.</summary>
    /// <param name="options">Which device.</param>
    /// <param name="passedOver">Why auto did not take the GPU, where the machine has an NVIDIA driver; else null.</param>
    public static Device Open(EngineOptions options, out string? passedOver)
    {
        passedOver = null;
        return options.Device switch
        {
            DeviceKind.Cpu => OpenCpu(options),
            DeviceKind.Emulated => OpenGpu(options, Backend.Emulated, "--device emulated"),
            DeviceKind.Cuda => OpenGpu(options, Backend.Cuda, "--device cuda"),
            _ => TryOpenCuda(options, out passedOver) ?? OpenCpu(options),
        };
    }

    private static Device OpenCpu(EngineOptions options)
    {
        NativeLibrary library = NativeLibraryLoader.Load(Backend.Cpu, options.NativeLibraryFolder);
        Isa isa = ParseIsa(options.InstructionSet);
        if (isa != Isa.Auto && !library.IsSupported(isa))
        {
            IEnumerable<string> supported = Enum.GetValues<Isa>().Where(family => family != Isa.Auto && library.IsSupported(family)).Select(NameOf);
            throw new EngineStartException($"instruction set: found a machine with {string.Join(", ", supported)}, needed {options.InstructionSet}");
        }
        return library.OpenDevice(new DeviceOptions { ThreadCount = options.Threads, Isa = isa });
    }

    private static Device OpenGpu(EngineOptions options, Backend backend, string asked)
    {
        if (options.InstructionSet is not null)
            throw new EngineStartException($"{asked}: --instruction-set chooses a path of the processor; leave it out or use --device cpu");
        try
        {
            return NativeLibraryLoader.Load(backend, options.NativeLibraryFolder).OpenDevice(new DeviceOptions());
        }
        catch (NativeException cause) when (backend == Backend.Cuda)
        {
            throw new EngineStartException(
                $"{asked}: found {Driver()}; needed an NVIDIA GPU with its driver, and {NativeLibraryLoader.FileName(backend)}. "
                + $"Use --device cpu to compute on the processor. ({cause.Message})", cause);
        }
        catch (NativeException cause) when (cause is not NativeLoadException)
        {
            throw new EngineStartException($"{asked}: {cause.Message}", cause);
        }
    }

    /// <summary>The GPU where there is a usable one. Without a driver nobody expects one, so nothing is said.</summary>
    private static Device? TryOpenCuda(EngineOptions options, out string? reason)
    {
        reason = null;
        if (!File.Exists(DriverVersionFile) || options.InstructionSet is not null)
            return null;
        try
        {
            return NativeLibraryLoader.Load(Backend.Cuda, options.NativeLibraryFolder).OpenDevice(new DeviceOptions());
        }
        catch (NativeException cause)
        {
            reason = cause.Message;
            return null;
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
