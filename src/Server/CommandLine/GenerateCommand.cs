using System.CommandLine;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm generate: continue a prompt in the terminal.</summary>
internal sealed class GenerateCommand
{
    private readonly EngineFlags _engine;
    private readonly SamplingFlags _sampling;
    private readonly Option<string?> _prompt = Flag.Of<string?>("--prompt", "Text to continue. Without it: what comes on standard input.", "-p");
    private readonly Option<string[]> _stop = Flag.Of<string[]>("--stop", "Ends the output before this text; repeat for more.");
    private readonly Option<bool> _quiet = Flag.Of<bool>("--quiet", "Only the output, without the prompt and the figures.", "-q");

    private GenerateCommand(Command command)
    {
        _engine = new EngineFlags(command);
        _sampling = new SamplingFlags(command);
        command.Add(_prompt);
        command.Add(_stop);
        command.Add(_quiet);
    }

    public static Command Build()
    {
        Command command = new("generate", "Continue a prompt in the terminal, without a server.");
        command.SetAction(new GenerateCommand(command).RunAsync);
        command.Teach("""
            nativelm generate --prompt "Once upon a time"
            nativelm generate ./my-model -p "The capital of France is" --temperature 0 -n 16
            echo "Write a story." | nativelm generate --quiet > story.txt
            """);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        EngineOptions options = _engine.Read(parsed);
        if (parsed.GetValue(_prompt) is null && !Console.IsInputRedirected)
            throw new UsageException("no prompt: add --prompt TEXT, or pipe text in");
        string prompt = parsed.GetValue(_prompt) ?? (await Console.In.ReadToEndAsync(cancellation)).TrimEnd('\n');
        await using LlmEngine engine = EngineLoading.Load(options);
        SamplingParams sampling = _sampling.Read(parsed, engine.DefaultSampling);
        int[] ids = engine.Tokenizer.Encode(prompt);
        if (ids.Length == 0)
            throw new UsageException("the prompt has no tokens");
        bool quiet = parsed.GetValue(_quiet);
        if (!quiet)
            Console.Write(prompt);
        TerminalReply reply = await TerminalReply.WriteAsync(engine, ids, sampling, parsed.GetValue(_stop) ?? [], cancellation);
        Console.WriteLine();
        if (!quiet)
            Console.Error.WriteLine(reply.Figures(ids.Length));
        return CommandLineApp.Success;
    }
}
