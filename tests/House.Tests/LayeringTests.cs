using System.Reflection;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>Dependencies point one way: Server → Simulation → Engine → Interop → the native ABI.</summary>
public sealed class LayeringTests
{
    private static readonly Assembly Interop = typeof(NativeLM.Interop.NativeLibrary).Assembly;
    private static readonly Assembly Engine = typeof(NativeLM.Engine.EngineOptions).Assembly;
    private static readonly Assembly Simulation = Assembly.Load("NativeLM.Simulation");
    private static readonly Assembly Server = Assembly.Load("nativelm");

    private static readonly string[] DeviceSide = ["NativeLM.Engine.Execution", "NativeLM.Engine.Models", "NativeLM.Engine.Weights"];

    [Fact]
    public void Assemblies_reference_only_what_lies_below_them()
    {
        Assert.Empty(OurReferences(Interop));
        Assert.Empty(OurReferences(Engine).Except(["NativeLM.Interop"]));
        Assert.Empty(OurReferences(Simulation).Except(["NativeLM.Engine"]));
        Assert.Empty(OurReferences(Server).Except(["NativeLM.Engine", "NativeLM.Simulation"]));
    }

    [Fact]
    public void Only_the_server_sees_ASP_NET()
    {
        foreach (Assembly assembly in new[] { Interop, Engine, Simulation })
            Assert.DoesNotContain(assembly.GetReferencedAssemblies(), a => a.Name!.StartsWith("Microsoft.AspNetCore", StringComparison.Ordinal));
    }

    [Fact]
    public void Only_execution_models_and_weights_touch_native_code()
    {
        IEnumerable<string> violations =
            from type in Engine.GetTypes()
            let owner = TypeUses.Outermost(type)
            where !DeviceSide.Any(n => owner.Namespace == n || owner.Namespace?.StartsWith(n + ".", StringComparison.Ordinal) == true)
            from used in TypeUses.Of(type)
            where used.Assembly == Interop && !MayCatch(owner, used)
            select $"{owner.FullName} uses {used.Name}";
        Assert.Empty(violations.Distinct());
    }

    [Fact]
    public void Only_tokenization_sees_the_tokenizer_package() =>
        Assert.Empty(UsersOf(Engine, "Microsoft.ML.Tokenizers", "NativeLM.Engine.Tokenization", "NativeLM.Engine.ModelTokenizer"));

    [Fact]
    public void Only_the_command_line_sees_the_console_packages()
    {
        Assert.Empty(UsersOf(Server, "System.CommandLine", "NativeLM.Server.CommandLine", "NativeLM.Server.Program", "Program"));
        Assert.Empty(UsersOf(Server, "Spectre.Console", "NativeLM.Server.CommandLine", "NativeLM.Server.Program", "Program"));
    }

    [Fact]
    public void The_function_table_is_internal_to_interop()
    {
        Type table = Interop.GetType("NativeLM.Interop.NativeApi", throwOnError: true)!;
        Assert.False(table.IsVisible);
        Assert.DoesNotContain(Engine.GetTypes(), t => TypeUses.Of(t).Contains(table));
    }

    // The engine's loop turns a lost device into failed requests, so it may name the exceptions.
    private static bool MayCatch(Type owner, Type used) =>
        typeof(Exception).IsAssignableFrom(used) && owner.Name is "LlmEngine" or "EngineLoop" or "IStepExecutor";

    private static IEnumerable<string> OurReferences(Assembly assembly) =>
        assembly.GetReferencedAssemblies().Select(a => a.Name!).Where(n => n.StartsWith("NativeLM", StringComparison.OrdinalIgnoreCase)).Order();

    private static IEnumerable<string> UsersOf(Assembly assembly, string package, params string[] allowed) =>
        (from type in assembly.GetTypes()
         let owner = TypeUses.Outermost(type)
         where !allowed.Any(a => owner.FullName == a || owner.FullName!.StartsWith(a + ".", StringComparison.Ordinal))
         from used in TypeUses.Of(type)
         where used.Assembly.GetName().Name == package
         select $"{owner.FullName} uses {used.FullName}").Distinct();
}
