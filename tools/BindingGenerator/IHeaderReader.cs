namespace NativeLM.BindingGenerator;

/// <summary>Parses a C header into the model. castxml is behind it today; a CppSharp reader would fill the same model.</summary>
internal interface IHeaderReader
{
    /// <summary>Reads one header. Throws <see cref="GeneratorException"/> for what the bindings cannot express.</summary>
    TranslationUnit Read(string headerPath);
}
