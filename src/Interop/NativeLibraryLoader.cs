using System.Collections.Concurrent;
using Runtime = System.Runtime.InteropServices;

namespace NativeLM.Interop;

/// <summary>Finds and loads backends. One search order, one message that names every path tried. Thread-safe.</summary>
public static class NativeLibraryLoader
{
    /// <summary>Environment variable that names a folder to search.</summary>
    public const string PathVariable = "NATIVELM_LIBRARY_PATH";

    private static readonly ConcurrentDictionary<string, NativeLibrary> Loaded = new();

    /// <summary>
    /// Loads a backend from <paramref name="folder"/> if given (then nowhere else), otherwise beside the program, in the folder named by
    /// <see cref="PathVariable"/>, or in artifacts/native above the program. Throws <see cref="NativeLoadException"/>.
    /// </summary>
    public static NativeLibrary Load(Backend kind, string? folder = null)
    {
        string file = FileName(kind);
        List<string> tried = [];
        foreach (string candidate in Folders(folder))
        {
            string path = Path.GetFullPath(Path.Combine(candidate, file));
            tried.Add(path);
            if (File.Exists(path))
                return Loaded.GetOrAdd(path, p => Open(p, kind));
        }
        throw new NativeLoadException(
            $"native library {file} was not found; tried:{string.Concat(tried.Distinct().Select(p => $"\n  {p}"))}\n"
            + $"build it with scripts/build.sh, or set {PathVariable} to the folder that holds it");
    }

    /// <summary>File name of a backend's library on this system, such as libnativelm_cpu.so.</summary>
    public static string FileName(Backend kind)
    {
        string name = $"nativelm_{kind.ToString().ToLowerInvariant()}";
        return OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";
    }

    private static IEnumerable<string> Folders(string? folder)
    {
        if (folder is not null)
        {
            yield return folder;
            yield break;
        }
        yield return AppContext.BaseDirectory;
        if (Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } variable)
            yield return variable;
        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
            if (Directory.Exists(Path.Combine(parent.FullName, "artifacts", "native")))
                yield return Path.Combine(parent.FullName, "artifacts", "native");
    }

    private static NativeLibrary Open(string path, Backend kind)
    {
        if (WrongFormat(path) is { } found)
            throw new NativeLoadException($"{path}: found {found}, needed a library for {Runtime.RuntimeInformation.RuntimeIdentifier}");
        nint handle;
        try
        {
            handle = Runtime.NativeLibrary.Load(path);
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
        {
            throw new NativeLoadException($"{path}: the system refused to load it: {error.Message}");
        }
        NativeLibrary library = new(handle, path);
        if (library.Backend != kind)
            throw new NativeLoadException($"{path}: found backend {library.Backend}, needed {kind}");
        return library;
    }

    // The system's own message for a library of another processor is "cannot open shared object file", so look first.
    private static string? WrongFormat(string path)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        Span<byte> head = stackalloc byte[20];
        using FileStream file = File.OpenRead(path);
        int read = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        if (read < head.Length || !head[..4].SequenceEqual("\u007fELF"u8))
            return "no ELF file";
        int machine = head[18] | head[19] << 8;
        (int needed, string name) = Runtime.RuntimeInformation.ProcessArchitecture switch
        {
            Runtime.Architecture.X64 => (62, "x86-64"),
            Runtime.Architecture.Arm64 => (183, "arm64"),
            _ => (machine, "this processor"),
        };
        return machine == needed ? null : $"a library for ELF machine {machine} (needed {needed}, {name})";
    }
}
