using System.ComponentModel;
using System.Diagnostics;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

public sealed class LoaderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("nativelm-loader").FullName;

    private string LibraryPath => Path.Combine(_folder, NativeLibraryLoader.FileName(Backend.Cpu));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_missing_library_names_the_path_and_the_cure()
    {
        string message = Load();
        Assert.Contains(LibraryPath, message);
        Assert.Contains("scripts/build.sh", message);
        Assert.Contains(NativeLibraryLoader.PathVariable, message);
    }

    [Fact]
    public void A_file_that_is_no_library_is_refused()
    {
        File.WriteAllText(LibraryPath, "hello, this is not a shared library at all");
        Assert.Contains("no ELF file", Load());
    }

    [Fact]
    public void A_library_of_another_processor_is_refused_by_name()
    {
        byte[] head = new byte[64];
        "\u007fELF"u8.CopyTo(head);
        head[18] = 8; // MIPS
        File.WriteAllBytes(LibraryPath, head);
        Assert.Contains("ELF machine 8", Load());
    }

    [Fact]
    public void A_library_of_another_abi_names_both_versions_and_hashes()
    {
        Compile("int nlm_abi_version(void) { return 99; } unsigned long long nlm_abi_hash(void) { return 0xabcdef; }");
        string message = Load();
        Assert.Contains("version 99", message);
        Assert.Contains("0000000000abcdef", message);
        Assert.Contains($"version {NativeApi.ExpectedAbiVersion}", message);
        Assert.Contains($"{NativeApi.ExpectedAbiHash:x16}", message);
    }

    [Fact]
    public void A_library_without_our_functions_is_refused()
    {
        Compile("int nothing(void) { return 0; }");
        Assert.Contains("not a NativeLM library", Load());
    }

    [Fact]
    public void A_library_that_lacks_one_function_names_it()
    {
        Compile($"int nlm_abi_version(void) {{ return {NativeApi.ExpectedAbiVersion}; }} "
            + $"unsigned long long nlm_abi_hash(void) {{ return 0x{NativeApi.ExpectedAbiHash:x}ull; }}");
        Assert.Contains("nlm_backend_kind is missing", Load());
    }

    [Fact]
    public void Loading_twice_gives_the_same_library()
    {
        NativeLibrary library = NativeLibraryLoader.Load(Backend.Cpu);
        Assert.Same(library, NativeLibraryLoader.Load(Backend.Cpu, Path.GetDirectoryName(library.Path)));
    }

    private string Load() => Assert.Throws<NativeLoadException>(() => NativeLibraryLoader.Load(Backend.Cpu, _folder)).Message;

    private void Compile(string source)
    {
        string file = Path.Combine(_folder, "library.c");
        File.WriteAllText(file, source);
        try
        {
            using Process compiler = Process.Start("cc", ["-shared", "-fPIC", "-o", LibraryPath, file]);
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }
        catch (Win32Exception)
        {
            Assert.Skip("needs a C compiler (cc) to make a library of another ABI");
        }
    }
}
