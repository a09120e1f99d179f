namespace NativeLM.BindingGenerator;

internal static class Program
{
    private const string Help = """
        Turns native/include/nativelm.h into C# bindings and layout proofs. Needs castxml and a C compiler.

        usage: BindingGenerator [--check] [--root FOLDER] [--compiler CC]

          --check          write nothing; exit with 1 if a checked-in file differs from what would be generated
          --root FOLDER    the folder that holds NativeLM.sln (default: found above the current folder)
          --compiler CC    compiler whose target castxml imitates (default: gcc)
          --help           this text

        writes: src/Interop/Generated/NativeTypes.g.cs, src/Interop/Generated/NativeApi.g.cs,
                native/tests/abi_layout.c, native/core/abi_hash.h, benchmarks/reference/abi.py
        """;

    private static int Main(string[] args)
    {
        try
        {
            return Run(args);
        }
        catch (GeneratorException error)
        {
            Console.Error.WriteLine($"error: {error.Message}");
            return 2;
        }
    }

    private static int Run(string[] args)
    {
        bool check = false;
        string? root = null;
        string compiler = "gcc";
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--help" or "-h": Console.WriteLine(Help); return 0;
                case "--check": check = true; break;
                case "--root" when i + 1 < args.Length: root = args[++i]; break;
                case "--compiler" when i + 1 < args.Length: compiler = args[++i]; break;
                default: throw new GeneratorException($"unknown or incomplete option '{args[i]}'; --help lists them");
            }
        }
        root ??= FindRoot();
        List<GeneratorOutput> outputs = new Driver(new CastXmlReader(compiler), root).Run(new NativeLMLibrary());
        return check ? Check(root, outputs) : Write(root, outputs);
    }

    private static int Write(string root, List<GeneratorOutput> outputs)
    {
        foreach (GeneratorOutput output in outputs)
        {
            string path = Path.Combine(root, output.Path);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, output.Text);
            Console.WriteLine(output.Path);
        }
        return 0;
    }

    private static int Check(string root, List<GeneratorOutput> outputs)
    {
        List<string> drifted = Drifted(root, outputs);
        foreach (string path in drifted)
            Console.Error.WriteLine($"{path}: differs from what nativelm.h gives; run scripts/bindings.sh and commit the result");
        return drifted.Count == 0 ? 0 : 1;
    }

    /// <summary>Outputs whose checked-in text is missing or different.</summary>
    internal static List<string> Drifted(string root, List<GeneratorOutput> outputs) =>
        [.. outputs.Where(o => !File.Exists(Path.Combine(root, o.Path)) || File.ReadAllText(Path.Combine(root, o.Path)) != o.Text).Select(o => o.Path)];

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(Environment.CurrentDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "NativeLM.sln")))
                return folder.FullName;
        throw new GeneratorException("NativeLM.sln was not found above the current folder; give --root");
    }
}
