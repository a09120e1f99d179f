using System.CommandLine;
using System.CommandLine.Invocation;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>The whole command line: parse, run, and turn every failure into one line on stderr and an exit code.</summary>
internal static class CommandLineApp
{
    /// <summary>The command did what it was asked.</summary>
    public const int Success = 0;

    /// <summary>It failed while running.</summary>
    public const int Failure = 1;

    /// <summary>It was asked for something it cannot do, or the model's files are wrong.</summary>
    public const int Usage = 2;

    public static async Task<int> RunAsync(string[] args)
    {
        RootCommand root = Build();
        ParseResult parsed = root.Parse(args);
        if (parsed.Action is ParseErrorAction)
        {
            string command = parsed.CommandResult.Command is RootCommand ? "nativelm" : $"nativelm {parsed.CommandResult.Command.Name}";
            Console.Error.WriteLine($"nativelm: {parsed.Errors[0].Message} (see '{command} --help')");
            return Usage;
        }
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (Exception failure)
        {
            return Failed(failure);
        }
    }

    public static RootCommand Build()
    {
        RootCommand root = new("NativeLM serves language models over an OpenAI-compatible HTTP API, with paged attention and continuous batching.");
        root.Add(ServeCommand.Build());
        root.Add(GenerateCommand.Build());
        root.Add(ChatCommand.Build());
        root.Add(BenchCommand.Build());
        root.Add(SimulateCommand.Build());
        root.Teach("""
            nativelm serve                              # the bundled demo model on http://127.0.0.1:8000
            nativelm serve ./my-model --port 9000       # a Hugging Face folder
            nativelm chat                               # talk to the demo model here
            nativelm generate --prompt "Once upon a time"
            nativelm bench serve --concurrency 16       # measure a running server
            nativelm simulate --find-rate --slo 0.1     # what would a GPU sustain?
            """);
        HelpExamples.Install(root);
        return root;
    }

    /// <summary>One line for the user; the kind of failure decides the exit code.</summary>
    private static int Failed(Exception failure)
    {
        Exception cause = failure is AggregateException { InnerException: Exception inner } ? inner : failure;
        if (cause is OperationCanceledException)
            return Failure;
        Console.Error.WriteLine($"nativelm: {cause.Message.ReplaceLineEndings(" ")}");
        bool isUsage = cause is UsageException or ArgumentException or ModelLoadException or TokenizerFormatException or ChatTemplateException
            or InvalidDataException or FileNotFoundException or DirectoryNotFoundException;
        return isUsage ? Usage : Failure;
    }
}
