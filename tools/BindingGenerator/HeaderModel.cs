using System.Text;

namespace NativeLM.BindingGenerator;

// The nouns are CppSharp's, so that its AST can be walked into the same model.

/// <summary>One parsed header.</summary>
internal sealed class TranslationUnit
{
    public List<Enumeration> Enumerations { get; } = [];

    public List<Class> Classes { get; } = [];

    public List<Function> Functions { get; } = [];

    /// <summary>
    /// FNV-1a (64 bit) of names, types, values, sizes and offsets as C sees them. Comments and C# names do not enter, so only a
    /// change that a compiled caller would notice changes it.
    /// </summary>
    public ulong Hash()
    {
        StringBuilder text = new();
        foreach (Enumeration e in Enumerations)
        {
            text.Append($"enum {e.CName}\n");
            foreach (EnumerationItem item in e.Items)
                text.Append($"  {item.CName} {item.Value}\n");
        }
        foreach (Class c in Classes)
        {
            text.Append($"struct {c.CName} {c.Layout.Size} {c.Layout.Alignment}\n");
            foreach (Field field in c.Fields)
                text.Append($"  {field.Type.CName} {field.CName} {field.Offset}\n");
        }
        foreach (Function f in Functions)
            text.Append($"{f.Declaration}\n");

        ulong hash = 14695981039346656037;
        foreach (byte b in Encoding.UTF8.GetBytes(text.ToString()))
            hash = unchecked((hash ^ b) * 1099511628211);
        return hash;
    }
}

/// <summary>Anything with a name in C, a name in C# (set by the passes) and a comment.</summary>
internal abstract class Declaration
{
    public required string CName { get; init; }

    public required string Name { get; set; }

    /// <summary>Lines of the comment without its delimiters; empty when there is none.</summary>
    public IReadOnlyList<string> Comment { get; set; } = [];
}

internal sealed class Enumeration : Declaration
{
    public List<EnumerationItem> Items { get; } = [];
}

internal sealed class EnumerationItem : Declaration
{
    public required int Value { get; init; }
}

/// <summary>A struct. An opaque one (a handle) has no fields and size 0.</summary>
internal sealed class Class : Declaration
{
    public required ClassLayout Layout { get; init; }

    public bool IsOpaque => Layout.Size == 0;

    public List<Field> Fields { get; } = [];
}

/// <summary>Size and alignment in bytes.</summary>
internal readonly record struct ClassLayout(int Size, int Alignment);

internal sealed class Field : Declaration
{
    public required CType Type { get; init; }

    /// <summary>Bytes from the start of the struct.</summary>
    public required int Offset { get; init; }

    /// <summary>The enumeration that an int32_t field holds, or null.</summary>
    public Enumeration? HoldsEnumeration { get; set; }
}

internal sealed class Function : Declaration
{
    public required CType ReturnType { get; init; }

    public List<Parameter> Parameters { get; } = [];

    /// <summary>The returned int32_t is an nlm_status.</summary>
    public bool ReturnsStatus { get; set; }

    public string Declaration => $"{ReturnType.CName} {CName}({string.Join(", ", Parameters.Select(p => $"{p.Type.CName} {p.CName}"))})";
}

internal sealed class Parameter : Declaration
{
    public required CType Type { get; init; }
}

/// <summary>A C type as written. Exactly what the ABI rules permit: fixed-width scalars, named structs, pointers, arrays.</summary>
internal abstract record CType(string CName);

internal sealed record BuiltinType(string CName) : CType(CName);

internal sealed record ClassType(string CName) : CType(CName);

internal sealed record PointerType(CType Pointee) : CType(Pointee.CName + "*");

internal sealed record ConstType(CType Inner) : CType("const " + Inner.CName);

internal sealed record ArrayType(CType Element, int Count) : CType($"{Element.CName}[{Count}]");
