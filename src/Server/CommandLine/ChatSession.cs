using System.Buffers;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;
using NativeLM.Server.Http;
using NativeLM.Server.Validation;

namespace NativeLM.Server.CommandLine;

/// <summary>One message of a conversation.</summary>
internal readonly record struct ChatTurn(string Role, string Content);

/// <summary>One conversation in the terminal.</summary>
internal sealed class ChatSession(LlmEngine engine, SamplingParams sampling, string? system)
{
    private readonly PromptBuilder _prompts = new(engine, EngineHost.Describe(engine, []));
    private readonly List<ChatTurn> _messages = Start(system);
    private string? _system = system;

    public IReadOnlyList<ChatTurn> Messages => _messages;

    /// <summary>Print speed after each answer.</summary>
    public bool ShowsFigures { get; set; }

    /// <summary>Sends a turn and writes the answer as it comes; Ctrl+C ends it early and keeps what was written.</summary>
    public async Task SayAsync(string text)
    {
        _messages.Add(new ChatTurn("user", text));
        int[] ids;
        try
        {
            GenerationSettings settings = new() { Model = engine.Info.ModelName, Sampling = sampling };
            ids = _prompts.Encode(new ChatPrompt { Messages = ToJson() }, settings);
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
            _messages.Add(new ChatTurn("assistant", reply.Text));
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

    private JsonElement ToJson()
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartArray();
            foreach ((string role, string content) in _messages)
            {
                json.WriteStartObject();
                json.WriteString("role"u8, role);
                json.WriteString("content"u8, content);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        using JsonDocument document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }

    private static List<ChatTurn> Start(string? system) => system is null ? [] : [new ChatTurn("system", system)];
}
