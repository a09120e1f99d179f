namespace NativeLM.BindingGenerator;

/// <summary>One generated file: path relative to the project's root, and its text.</summary>
internal sealed record GeneratorOutput(string Path, string Text);

/// <summary>Holds what one run needs and calls the library's five methods in CppSharp's order.</summary>
internal sealed class Driver(IHeaderReader reader, string root)
{
    private readonly List<Action<TranslationUnit>> _passes = [];

    public string Root => root;

    /// <summary>Header to read, relative to the root; set by <see cref="NativeLMLibrary.Setup"/>.</summary>
    public string HeaderPath { get; set; } = "";

    public void AddPass(Action<TranslationUnit> pass) => _passes.Add(pass);

    /// <summary>Reads, transforms and emits. Nothing is written.</summary>
    public List<GeneratorOutput> Run(NativeLMLibrary library) => Run(library, out _);

    /// <summary>As <see cref="Run(NativeLMLibrary)"/>, and hands out the model.</summary>
    public List<GeneratorOutput> Run(NativeLMLibrary library, out TranslationUnit unit)
    {
        library.Setup(this);
        library.SetupPasses(this);
        unit = reader.Read(Path.Combine(root, HeaderPath));
        library.Preprocess(this, unit);
        foreach (Action<TranslationUnit> pass in _passes)
            pass(unit);
        library.Postprocess(this, unit);
        List<GeneratorOutput> outputs = [];
        library.GenerateCode(this, unit, outputs);
        return outputs;
    }
}
