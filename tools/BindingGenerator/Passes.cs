using System.Text.RegularExpressions;

namespace NativeLM.BindingGenerator;

/// <summary>Transformations of the model between parsing and emitting, each with one purpose.</summary>
internal static partial class Passes
{
    /// <summary>nlm_norm_args → norm_args; enumeration items lose the words they share (NLM_ISA_AVX2 → AVX2).</summary>
    public static void RemovePrefix(TranslationUnit unit, string prefix)
    {
        foreach (Declaration d in unit.Enumerations.Cast<Declaration>().Concat(unit.Classes).Concat(unit.Functions))
            if (d.Name.StartsWith(prefix, StringComparison.Ordinal))
                d.Name = d.Name[prefix.Length..];
        foreach (Enumeration e in unit.Enumerations)
        {
            int shared = SharedWords(e.Items.Select(i => i.CName.Split('_')).ToArray());
            foreach (EnumerationItem item in e.Items)
                item.Name = string.Join('_', item.CName.Split('_').Skip(shared));
        }
    }

    /// <summary>Opaque structs are handles: device → device_handle.</summary>
    public static void HandleToPointer(TranslationUnit unit)
    {
        foreach (Class c in unit.Classes.Where(c => c.IsOpaque))
            c.Name += "_handle";
    }

    /// <summary>norm_args → NormArgs. Names set by hand (already with capitals) stay.</summary>
    public static void PascalCase(TranslationUnit unit)
    {
        foreach (Declaration d in unit.Enumerations.Cast<Declaration>()
            .Concat(unit.Enumerations.SelectMany(e => e.Items)).Concat(unit.Classes)
            .Concat(unit.Classes.SelectMany(c => c.Fields)).Concat(unit.Functions))
            d.Name = Pascal(d.Name);
        foreach (Parameter p in unit.Functions.SelectMany(f => f.Parameters))
            p.Name = char.ToLowerInvariant(p.Name[0]) + Pascal(p.Name)[1..];
    }

    /// <summary>int32_t results are an nlm_status, except where the function reports a fact.</summary>
    public static void StatusReturn(TranslationUnit unit, IReadOnlySet<string> facts)
    {
        foreach (Function f in unit.Functions)
            f.ReturnsStatus = f.ReturnType.CName == "int32_t" && !facts.Contains(f.CName);
    }

    /// <summary>An int32_t field is typed by the enumeration that its comment names first, or nlm_dtype where it is called type.</summary>
    public static void EnumerationFields(TranslationUnit unit)
    {
        foreach (Field field in unit.Classes.SelectMany(c => c.Fields).Where(f => f.Type.CName == "int32_t"))
        {
            string comment = field.Comment.Count > 0 ? field.Comment[0] : "";
            string? name = TypeField().IsMatch(field.CName) ? "nlm_dtype" : EnumerationName().Match(comment) is { Success: true } m ? m.Value : null;
            field.HoldsEnumeration ??= unit.Enumerations.FirstOrDefault(e => e.CName == name);
        }
    }

    private static int SharedWords(string[][] names)
    {
        int shared = 0;
        while (names.All(n => n.Length > shared + 1 && n[shared] == names[0][shared]))
            shared++;
        return shared;
    }

    private static string Pascal(string name)
    {
        if (char.IsUpper(name[0]) && name.Any(char.IsLower))
            return name;
        return string.Concat(name.Split('_').Select(word =>
            ElementType().IsMatch(word) ? word : char.ToUpperInvariant(word[0]) + word[1..].ToLowerInvariant()));
    }

    [GeneratedRegex("^[A-Z]{1,2}[0-9]+$")]
    private static partial Regex ElementType(); // F32, BF16

    [GeneratedRegex("^type(_.*)?$")]
    private static partial Regex TypeField();

    [GeneratedRegex("^nlm_[a-z_0-9]+")]
    private static partial Regex EnumerationName();
}
