using System.Text;

namespace NativeLM.BindingGenerator;

/// <summary>Writes ctypes declarations, for benchmarks that call a backend beside PyTorch in one process.</summary>
internal sealed class PythonEmitter(TranslationUnit unit, int abiVersion)
{
    private readonly Dictionary<string, string> _classNames = unit.Classes.ToDictionary(c => c.CName, c => c.Name);

    /// <summary>Enumerations, structs with their sizes in C, and the signature of every function.</summary>
    public string Module()
    {
        StringBuilder text = new();
        text.Append("# Generated from nativelm.h by tools/BindingGenerator. Do not edit: run scripts/bindings.sh.\n");
        text.Append("\"\"\"The ABI of NativeLM's backends as ctypes declarations. Pointers are plain addresses.\"\"\"\n\n");
        text.Append("import ctypes\nimport enum\n\n");
        text.Append($"ABI_VERSION = {abiVersion}\nABI_HASH = 0x{unit.Hash():x16}\n");
        foreach (Enumeration e in unit.Enumerations)
        {
            text.Append($"\n\nclass {e.Name}(enum.IntEnum):  # {e.CName}\n");
            foreach (EnumerationItem item in e.Items)
                text.Append($"    {(item.Name == "None" ? "NONE" : item.Name)} = {item.Value}\n");
        }
        Class[] structs = [.. unit.Classes.Where(c => !c.IsOpaque)];
        foreach (Class c in structs)
        {
            text.Append($"\n\nclass {c.Name}(ctypes.Structure):  # {c.CName}\n    _fields_ = [\n");
            foreach (Field f in c.Fields)
                text.Append($"        (\"{f.CName}\", {Python(f.Type)}),\n");
            text.Append("    ]\n");
        }
        text.Append("\n\n# Bytes of each struct in C.\nSIZES = {\n");
        foreach (Class c in structs)
            text.Append($"    {c.Name}: {c.Layout.Size},\n");
        text.Append("}\n\n# Result and parameters of each function.\nFUNCTIONS = {\n");
        foreach (Function f in unit.Functions)
            text.Append($"    \"{f.CName}\": ({Python(f.ReturnType)}, [{string.Join(", ", f.Parameters.Select(p => Python(p.Type)))}]),\n");
        text.Append("}\n");
        return text.ToString();
    }

    private string Python(CType type) => type switch
    {
        BuiltinType { CName: "char" } => "ctypes.c_char",
        BuiltinType { CName: "float" or "double" } b => $"ctypes.c_{b.CName}",
        BuiltinType { CName: not "void" } b => $"ctypes.c_{b.CName[..^2]}", // int32_t
        ClassType c => _classNames[c.CName],
        ConstType c => Python(c.Inner),
        PointerType { Pointee: ConstType { Inner.CName: "char" } } => "ctypes.c_char_p",
        PointerType => "ctypes.c_void_p",
        ArrayType a => $"{Python(a.Element)} * {a.Count}",
        _ => throw new GeneratorException($"no Python form for {type.CName}"),
    };
}
