using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Emit;

namespace NativeLM.Tests.Planted;

/// <summary>
/// Compiles memory manager, scheduler and the world around them, with a bug planted in one file, into an assembly of its own. It carries
/// this assembly's name, because the engine shows its internals to that name; what is not compiled again comes from the engine itself.
/// </summary>
internal sealed class PlantedCompiler
{
    private const string AssemblyName = "Simulation.Tests";
    private static readonly string[] Folders =
        ["src/Engine/Memory", "src/Engine/Scheduling", "src/Engine/Sequences", "tests/Simulation.Tests/Worlds"];
    private static readonly string[] Files =
        ["src/Engine/Generation.cs", "src/Engine/Execution/IStepExecutor.cs", "src/Engine/Execution/StepResult.cs"];
    private const string Usings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    private static readonly CSharpParseOptions Parsing = new(LanguageVersion.Latest);

    private readonly Dictionary<string, string> _texts = [];
    private readonly Dictionary<string, SyntaxTree> _trees = [];
    private readonly CSharpCompilation _compilation;

    public PlantedCompiler()
    {
        foreach (string file in Folders.SelectMany(SourcesIn).Concat(Files))
        {
            _texts.Add(file, File.ReadAllText(Path.Combine(TestData.ProjectRoot, file)));
            _trees.Add(file, CSharpSyntaxTree.ParseText(_texts[file], Parsing, file));
        }
        string libraries = (string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!;
        _compilation = CSharpCompilation.Create(
            AssemblyName,
            _trees.Values.Append(CSharpSyntaxTree.ParseText(Usings, Parsing)),
            libraries.Split(Path.PathSeparator).Where(path => Path.GetFileNameWithoutExtension(path) != AssemblyName).Select(path => MetadataReference.CreateFromFile(path)),
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, optimizationLevel: OptimizationLevel.Release, allowUnsafe: true));
    }

    /// <summary>The probe of an assembly with the bug (none: the sources as they are). The context can be unloaded afterwards.</summary>
    public (Probe Probe, AssemblyLoadContext Context) Compile(PlantedBug? bug)
    {
        CSharpCompilation compilation = _compilation;
        if (bug is not null)
        {
            if (!_trees.TryGetValue(bug.Source, out SyntaxTree? tree))
                throw new InvalidOperationException($"{bug.Name}.mutant: {bug.Source} is not compiled here; take a file of {string.Join(", ", Folders.Concat(Files))}");
            compilation = compilation.ReplaceSyntaxTree(tree, CSharpSyntaxTree.ParseText(bug.PlantIn(_texts[bug.Source]), Parsing, bug.Source));
        }
        using MemoryStream image = new();
        EmitResult emitted = compilation.Emit(image);
        if (!emitted.Success)
            throw new InvalidOperationException(
                $"{bug?.Name ?? "the sources"}: {string.Join("\n", emitted.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error).Take(5))}");
        image.Position = 0;
        AssemblyLoadContext context = new(bug?.Name, isCollectible: true);
        Type worlds = context.LoadFromStream(image).GetType($"{typeof(Worlds.WorldRun).FullName}", throwOnError: true)!;
        return (worlds.GetMethod(nameof(Worlds.WorldRun.FirstContradiction))!.CreateDelegate<Probe>(), context);
    }

    private static IEnumerable<string> SourcesIn(string folder) =>
        Directory.GetFiles(Path.Combine(TestData.ProjectRoot, folder), "*.cs").Order(StringComparer.Ordinal)
            .Select(path => Path.GetRelativePath(TestData.ProjectRoot, path).Replace('\\', '/'));
}

/// <summary><see cref="Worlds.WorldRun.FirstContradiction"/> of a compiled assembly.</summary>
internal delegate string? Probe(ulong firstSeed, int worlds, int steps);
