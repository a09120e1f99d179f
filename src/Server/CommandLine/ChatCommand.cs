using System.CommandLine;
using NativeLM.Engine;
using Spectre.Console;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm chat: talk to a model in the terminal. The conversation so far is sent with every turn.</summary>
internal sealed class ChatCommand
{
    private const string Help = """
        /help            this list
        /reset           forget the conversation
        /system TEXT     set the system message and start anew
        /undo            take back your last turn
        /history         show the conversation
        /stats           show or hide the figures after each answer
        /quit            leave (so does Ctrl+D)
        Ctrl+C           stop the answer that is being written
        """;

    private readonly EngineFlags _engine;
    private readonly SamplingFlags _sampling;
    private readonly Option<string?> _system = Flag.Of<string?>("--system", "System message.");

    private ChatCommand(Command command)
    {
        _engine = new EngineFlags(command);
        _sampling = new SamplingFlags(command);
        command.Add(_system);
    }

    public static Command Build()
    {
        Command command = new("chat", "Talk to a model in the terminal, without a server.");
        command.SetAction(new ChatCommand(command).RunAsync);
        command.Teach("""
            nativelm chat
            nativelm chat ./my-model --system "You answer in one sentence." --temperature 0.7

            In the chat: /help lists the commands.
            """);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        EngineOptions options = _engine.Read(parsed);
        await using LlmEngine engine = EngineLoading.Load(options);
        if (engine.ChatTemplate is null)
            throw new UsageException("this model has no chat template, so it cannot chat; nativelm generate continues text");
        ChatSession session = new(engine, _sampling.Read(parsed, engine.DefaultSampling), parsed.GetValue(_system));
        Console.WriteLine($"{engine.Info.ModelName} on {engine.Info.Device}. /help lists the commands.");
        while (Read() is string line)
        {
            if (line.Length == 0)
                continue;
            if (line[0] != '/')
                await session.SayAsync(line);
            else if (line is "/quit" or "/exit")
                break;
            else
                Obey(session, line);
        }
        return CommandLineApp.Success;
    }

    private static string? Read()
    {
        if (!Console.IsInputRedirected)
            AnsiConsole.Markup("[bold green]you>[/] ");
        return Console.ReadLine()?.Trim();
    }

    private static void Obey(ChatSession session, string line)
    {
        string[] words = line.Split(' ', 2, StringSplitOptions.TrimEntries);
        switch (words[0])
        {
            case "/help":
                Console.WriteLine(Help);
                break;
            case "/reset":
                session.Reset();
                break;
            case "/system":
                session.SetSystem(words.Length > 1 ? words[1] : null);
                break;
            case "/undo":
                session.Undo();
                break;
            case "/history":
                foreach (ChatTurn message in session.Messages)
                    Console.WriteLine($"{message.Role}: {message.Content}");
                break;
            case "/stats":
                session.ShowsFigures = !session.ShowsFigures;
                break;
            default:
                Console.WriteLine($"unknown command {words[0]}; /help lists them");
                break;
        }
    }
}
