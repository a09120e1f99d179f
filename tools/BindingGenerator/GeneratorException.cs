namespace NativeLM.BindingGenerator;

/// <summary>The header holds something the bindings cannot express, or a tool is missing: one line that says what to do.</summary>
internal sealed class GeneratorException(string message) : Exception(message);
