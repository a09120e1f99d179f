using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;
using NativeLM.Server.Validation;

namespace NativeLM.Server.CommandLine;

/// <summary>One conversation in the terminal.</summary>
internal sealed class ChatSession(LlmEngine engine, SamplingParams sampling, string? system)
{
    private readonly PromptBuilder _prompts = new(engine, EngineHost.Describe(engine, []));
    private readonly List<ChatMessageInput> _messages = Start(system);
    private string? _system = system;

    public IReadOnlyList<ChatMessageInput> Messages => _messages;

    /// <summary>Print speed after each answer.</summary>
    public bool ShowsFigures { get; set; }

    /// <summary>Sends a turn and writes the answer as it comes; Ctrl+C ends it early and keeps what was written.</summary>
    public async Task SayAsync(string text)
    {
        _messages.Add(new ChatMessageInput("user", text, null, null, null));
        int[] ids;
        try
        {
            GenerationSettings settings = new() { Model = engine.Info.ModelName, Sampling = sampling };
            ids = _prompts.Encode(new ChatPrompt { Messages = _messages }, settings);
        }
        catch (ApiException failure)
        {
            Undo();
            Console.WriteLine($"{failure.Message} /reset starts anew.");
            return;
        }
        using CancellationTokenSource stop = new();
        ConsoleCancelEventHandler handler = (_, args) =>
        {
            args.Cancel = true;
            stop.Cancel();
        };
        Console.CancelKeyPress += handler;
        try
        {
            TerminalReply reply = await TerminalReply.WriteAsync(engine, ids, sampling, [], stop.Token);
            Console.WriteLine();
            if (ShowsFigures)
                Console.WriteLine(reply.Figures(ids.Length));
            _messages.Add(new ChatMessageInput("assistant", reply.Text, null, null, null));
        }
        finally
        {
            Console.CancelKeyPress -= handler;
        }
    }

    public void Reset()
    {
        _messages.Clear();
        _messages.AddRange(Start(_system));
    }

    public void SetSystem(string? text)
    {
        _system = text;
        Reset();
    }

    /// <summary>Takes back the last turn of the user and what followed it.</summary>
    public void Undo()
    {
        int last = _messages.FindLastIndex(static message => message.Role == "user");
        if (last >= 0)
            _messages.RemoveRange(last, _messages.Count - last);
    }

    private static List<ChatMessageInput> Start(string? system) => system is null ? [] : [new ChatMessageInput("system", system, null, null, null)];
}
