using System.Globalization;
using System.Reflection;
using System.Reflection.Emit;
using System.Text.RegularExpressions;
using NativeLM.BindingGenerator;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>The checked-in bindings are those of the header, and C# lays structs out as C does.</summary>
public sealed partial class BindingsTests
{
    [Fact]
    public void Generated_files_have_not_drifted_from_the_header()
    {
        RequireCastXml();
        Driver driver = new(new CastXmlReader("gcc"), TestData.ProjectRoot);
        Assert.Empty(Program.Drifted(TestData.ProjectRoot, driver.Run(new NativeLMLibrary())));
    }

    [Fact]
    public void Generating_twice_gives_the_same_text()
    {
        RequireCastXml();
        Driver First() => new(new CastXmlReader("gcc"), TestData.ProjectRoot);
        Assert.Equal(First().Run(new NativeLMLibrary()), First().Run(new NativeLMLibrary()));
    }

    [Fact]
    public void Every_struct_and_field_lies_where_c_puts_it()
    {
        Dictionary<string, Type> types = PublicTypesByProvenance();
        int sizes = 0, offsets = 0;
        foreach (Match m in SizeAssertion().Matches(SourceTree.Text("native/tests/abi_layout.c")))
        {
            Type type = types[m.Groups["type"].Value];
            Assert.True(SizeOf(type) == Number(m), $"{type.Name}: C# has {SizeOf(type)} bytes, C has {Number(m)}");
            sizes++;
        }
        foreach (Match m in OffsetAssertion().Matches(SourceTree.Text("native/tests/abi_layout.c")))
        {
            Type type = types[m.Groups["type"].Value];
            FieldInfo field = type.GetFields().Single(f => Plain(f.Name) == Plain(m.Groups["field"].Value));
            Assert.True(OffsetOf(type, field) == Number(m), $"{type.Name}.{field.Name}: C# offset {OffsetOf(type, field)}, C {Number(m)}");
            offsets++;
        }
        Assert.True(sizes >= 15 && offsets >= 150, $"found only {sizes} sizes and {offsets} offsets in abi_layout.c");
        Assert.Equal(sizes, types.Values.Count(t => !t.IsEnum && !t.Name.EndsWith("Handle", StringComparison.Ordinal)));
    }

    [Fact]
    public void Both_sides_carry_the_same_version_and_hash()
    {
        string header = SourceTree.Text("native/core/abi_hash.h");
        Assert.Contains($"abi_version = {NativeApi.ExpectedAbiVersion};", header);
        Assert.Contains($"abi_hash = 0x{NativeApi.ExpectedAbiHash:x16}ull;", header);
    }

    [Theory]
    [InlineData("typedef struct nlm_a { unsigned a : 3; } nlm_a;", "bit fields")]
    [InlineData("typedef struct nlm_a { long a; } nlm_a;", "not allowed in the ABI")]
    [InlineData("typedef union nlm_a { float a; int32_t b; } nlm_a;", "unions")]
    [InlineData("typedef struct nlm_a { int32_t a; } nlm_a; int32_t nlm_f(nlm_a a);", "by pointer")]
    [InlineData("#define NLM_LIMIT 5\n", "NLM_LIMIT")]
    public void What_the_bindings_cannot_express_is_refused(string declaration, string reason)
    {
        RequireCastXml();
        string file = Path.Combine(Directory.CreateTempSubdirectory("nativelm-header").FullName, "bad.h");
        File.WriteAllText(file, $"#include <stdint.h>\n{declaration}\n");
        try
        {
            Assert.Contains(reason, Assert.Throws<GeneratorException>(() => new CastXmlReader("gcc").Read(file)).Message);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
        }
    }

    [Fact]
    public void The_hash_follows_the_layout_and_ignores_comments()
    {
        RequireCastXml();
        ulong Hash(string text)
        {
            string file = Path.Combine(Directory.CreateTempSubdirectory("nativelm-header").FullName, "a.h");
            File.WriteAllText(file, $"#include <stdint.h>\n{text}\n");
            try
            {
                return new CastXmlReader("gcc").Read(file).Hash();
            }
            finally
            {
                Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
            }
        }
        ulong hash = Hash("typedef struct nlm_a { int32_t a, b; } nlm_a;");
        Assert.Equal(hash, Hash("/* said otherwise */ typedef struct nlm_a { int32_t a, b; /* twice */ } nlm_a;"));
        Assert.NotEqual(hash, Hash("typedef struct nlm_a { int32_t b, a; } nlm_a;"));
        Assert.NotEqual(hash, Hash("typedef struct nlm_a { int32_t a; int64_t b; } nlm_a;"));
    }

    // The generator writes "public unsafe struct NormArgs // nlm_norm_args".
    private static Dictionary<string, Type> PublicTypesByProvenance() =>
        Provenance().Matches(SourceTree.Text("src/Interop/Generated/NativeTypes.g.cs")).ToDictionary(
            m => m.Groups["c"].Value, m => typeof(NativeApi).Assembly.GetType($"NativeLM.Interop.{m.Groups["cs"].Value}", throwOnError: true)!);

    private static int SizeOf(Type type)
    {
        DynamicMethod method = new("SizeOf", typeof(int), null, typeof(BindingsTests).Module);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Sizeof, type);
        il.Emit(OpCodes.Ret);
        return (int)method.Invoke(null, null)!;
    }

    // Managed layout, which is what crosses the boundary here; Marshal.OffsetOf would answer for marshalled layout.
    private static unsafe int OffsetOf(Type type, FieldInfo field)
    {
        DynamicMethod method = new("OffsetOf", typeof(int), [typeof(nint)], typeof(BindingsTests).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I4);
        il.Emit(OpCodes.Ret);
        byte* instance = stackalloc byte[4096]; // real memory: the runtime may touch it to check for null
        return (int)method.Invoke(null, [(nint)instance])!;
    }

    private static string Plain(string name) => name.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    private static int Number(Match m) => int.Parse(m.Groups["n"].Value, CultureInfo.InvariantCulture);

    private static void RequireCastXml()
    {
        if (!CastXmlReader.IsAvailable)
            Assert.Skip("castxml is not installed (Debian: apt-get install castxml gcc): the bindings were not compared with the header");
    }

    [GeneratedRegex(@"static_assert\(sizeof\((?<type>\w+)\) == (?<n>\d+), ""\w+""\);\nstatic_assert\(offsetof")]
    private static partial Regex SizeAssertion();

    [GeneratedRegex(@"static_assert\(offsetof\((?<type>\w+), (?<field>\w+)\) == (?<n>\d+)")]
    private static partial Regex OffsetAssertion();

    [GeneratedRegex(@"^public (?:unsafe struct|enum) (?<cs>\w+) // (?<c>\w+)$", RegexOptions.Multiline)]
    private static partial Regex Provenance();
}
