namespace NativeLM.BindingGenerator;

/// <summary>What is particular to nativelm.h. The five methods are those of CppSharp's ILibrary, called in the same order.</summary>
internal sealed class NativeLMLibrary
{
    /// <summary>Raised by hand when the meaning of a call changes; a change of layout shows in the hash.</summary>
    public const int AbiVersion = 1;

    private static readonly HashSet<string> Facts = ["nlm_abi_version", "nlm_backend_kind", "nlm_isa_supported"];

    /// <summary>C names whose plain C# form would mislead or collide.</summary>
    private static readonly Dictionary<string, string> Renamed = new()
    {
        ["nlm_status"] = "StatusCode",
        ["nlm_dtype"] = "DType",
        ["nlm_memory"] = "MemoryKind",
        ["nlm_swap"] = "SwapDirection",
        ["nlm_sample_flag"] = "SampleFlags",
    };

    public void Setup(Driver driver) => driver.HeaderPath = "native/include/nativelm.h";

    public void SetupPasses(Driver driver)
    {
        driver.AddPass(unit => Passes.RemovePrefix(unit, "nlm_"));
        driver.AddPass(Passes.HandleToPointer);
        driver.AddPass(Passes.PascalCase);
        driver.AddPass(unit => Passes.StatusReturn(unit, Facts));
        driver.AddPass(Passes.EnumerationFields);
    }

    public void Preprocess(Driver driver, TranslationUnit unit)
    {
        foreach (Declaration d in unit.Enumerations.Cast<Declaration>().Concat(unit.Classes))
            if (Renamed.TryGetValue(d.CName, out string? name))
                d.Name = name;
        HoldEnumeration(unit, "nlm_activate_args", "kind", "nlm_epilogue");
        HoldEnumeration(unit, "nlm_sample_result", "flags", "nlm_sample_flag");
    }

    public void Postprocess(Driver driver, TranslationUnit unit)
    {
        foreach (Class c in unit.Classes.Where(c => c.CName.EndsWith("_args", StringComparison.Ordinal)))
            if (c.Fields[0] is not { CName: "size", Type.CName: "uint32_t" })
                throw new GeneratorException($"{c.CName}: the first field of an argument struct must be uint32_t size");
    }

    public void GenerateCode(Driver driver, TranslationUnit unit, List<GeneratorOutput> outputs)
    {
        CSharpEmitter csharp = new(unit, AbiVersion);
        outputs.Add(new("src/Interop/Generated/NativeTypes.g.cs", csharp.Types()));
        outputs.Add(new("src/Interop/Generated/NativeApi.g.cs", csharp.Api()));
        outputs.Add(new("native/tests/abi_layout.c", CEmitter.Layout(unit)));
        outputs.Add(new("native/core/abi_hash.h", CEmitter.Hash(unit, AbiVersion)));
        outputs.Add(new("benchmarks/reference/abi.py", new PythonEmitter(unit, AbiVersion).Module()));
    }

    private static void HoldEnumeration(TranslationUnit unit, string @class, string field, string enumeration) =>
        unit.Classes.Single(c => c.CName == @class).Fields.Single(f => f.CName == field).HoldsEnumeration =
            unit.Enumerations.Single(e => e.CName == enumeration);
}
