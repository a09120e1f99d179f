using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace NativeLM.Server.CommandLine;

/// <summary>Adds worked examples to the end of a command's --help.</summary>
internal static class HelpExamples
{
    private static readonly Dictionary<Command, string> Examples = [];

    /// <summary>Lines shown under "Examples:" in this command's help.</summary>
    public static void Teach(this Command command, string examples) => Examples[command] = examples;

    /// <summary>Makes every help page of the program show its examples.</summary>
    public static void Install(RootCommand root)
    {
        foreach (HelpOption help in root.Options.OfType<HelpOption>())
            if (help.Action is HelpAction action)
                help.Action = new HelpWithExamples(action);
    }

    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = help.Invoke(parseResult);
            if (!Examples.TryGetValue(parseResult.CommandResult.Command, out string? examples))
                return code;
            TextWriter output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (string line in examples.Split('\n'))
                output.WriteLine($"  {line}");
            return code;
        }
    }
}
