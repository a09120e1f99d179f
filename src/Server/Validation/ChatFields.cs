using System.Buffers;
using System.Text.Json;
using NativeLM.Server.Http;

namespace NativeLM.Server.Validation;

/// <summary>Reads messages and what else the template sees.</summary>
internal static class ChatFields
{
    private static readonly string[] Roles = ["system", "developer", "user", "assistant", "tool", "function"];
    private static readonly string[] Efforts = ["none", "minimal", "low", "medium", "high"];
    private static readonly string[] ReservedArguments = ["messages", "tools", "tokenize", "chat_template"];

    public static ChatPrompt Read(in JsonFields fields, RequestLimits limits)
    {
        if (!fields.TryGet("messages", out JsonElement messages))
            throw ApiException.Missing("messages");
        if (messages.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("messages", "an array", messages);
        int count = messages.GetArrayLength();
        if (count < 1 || count > limits.MessagesMax)
            throw ApiException.InvalidValue("messages", $"'messages' must have 1 to {limits.MessagesMax} entries; found {count}.");
        bool add = fields.Boolean("add_generation_prompt") ?? true;
        bool continues = fields.Boolean("continue_final_message") ?? false;
        if (continues && fields.Boolean("add_generation_prompt") is true)
            throw ApiException.InvalidValue("continue_final_message", "'continue_final_message' and 'add_generation_prompt' cannot both be true.");
        int index = 0;
        return new ChatPrompt
        {
            Messages = messages,
            ContentLength = messages.EnumerateArray().Sum(message => CheckMessage(message, $"messages[{index++}]")),
            AddGenerationPrompt = add && !continues,
            ContinueFinalMessage = continues,
            Arguments = Arguments(fields),
        };
    }

    /// <summary>Checks one message and returns the length of its content.</summary>
    private static long CheckMessage(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonFields.WrongType(path, "an object", value);
        JsonFields message = new(value, path);
        string role = message.String("role", 64) ?? throw ApiException.Missing(message.Name("role"));
        if (!Roles.Contains(role, StringComparer.Ordinal))
            throw ApiException.InvalidValue(message.Name("role"),
                $"'{message.Name("role")}' must be one of {string.Join(", ", Roles)}; found '{Text.Clip(role)}'.");
        bool hasCalls = CheckToolCalls(message, role);
        long? content = ContentLength(message);
        if (content is null && !hasCalls)
            throw ApiException.Missing(message.Name("content"));
        if (message.String("tool_call_id", 256) is null && role == "tool")
            throw ApiException.Missing(message.Name("tool_call_id"));
        message.String("name", 256);
        return content ?? 0;
    }

    private static long? ContentLength(in JsonFields message)
    {
        if (!message.TryGet("content", out JsonElement content))
            return null;
        string name = message.Name("content");
        if (content.ValueKind == JsonValueKind.String)
            return JsonFields.String(content, name).Length;
        if (content.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(name, "a string or an array of parts", content);
        int index = 0;
        return content.EnumerateArray().Sum(part => PartLength(part, $"{name}[{index++}]"));
    }

    private static long PartLength(JsonElement part, string path)
    {
        if (part.ValueKind != JsonValueKind.Object)
            throw JsonFields.WrongType(path, "an object", part);
        JsonFields fields = new(part, path);
        string type = fields.String("type", 64) ?? throw ApiException.Missing(fields.Name("type"));
        // Nothing of another part is decoded, and no address in it is fetched.
        if (type != "text")
            throw ApiException.Unsupported(fields.Name("type"),
                $"Unsupported value: a content part of type '{Text.Clip(type)}'; this model reads text only.");
        return (fields.String("text", int.MaxValue) ?? throw ApiException.Missing(fields.Name("text"))).Length + 1;
    }

    private static bool CheckToolCalls(in JsonFields message, string role)
    {
        if (!message.TryGet("tool_calls", out JsonElement calls))
            return false;
        string name = message.Name("tool_calls");
        if (calls.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(name, "an array", calls);
        if (role != "assistant")
            throw ApiException.InvalidValue(name, $"'{name}' is only allowed in messages of the assistant.");
        int index = 0;
        foreach (JsonElement call in calls.EnumerateArray())
            CheckCall(call, $"{name}[{index++}]");
        return calls.GetArrayLength() > 0;
    }

    private static void CheckCall(JsonElement call, string path)
    {
        if (call.ValueKind != JsonValueKind.Object)
            throw JsonFields.WrongType(path, "an object", call);
        JsonFields function = new JsonFields(call, path).Object("function") ?? throw ApiException.Missing($"{path}.function");
        if (function.String("name", 64, 1) is null)
            throw ApiException.Missing(function.Name("name"));
        string arguments = function.String("arguments", int.MaxValue) ?? "{}";
        try
        {
            using JsonDocument document = JsonDocument.Parse(arguments, new JsonDocumentOptions { MaxDepth = 64 });
        }
        catch (JsonException)
        {
            throw ApiException.InvalidValue(function.Name("arguments"), $"'{function.Name("arguments")}' must be a string that holds JSON.");
        }
    }

    /// <summary>chat_template_kwargs, with reasoning_effort among them if it is given.</summary>
    private static JsonElement? Arguments(in JsonFields fields)
    {
        string? effort = fields.String("reasoning_effort", 64);
        if (effort is not null && !Efforts.Contains(effort, StringComparer.Ordinal))
            throw ApiException.InvalidValue("reasoning_effort",
                $"'reasoning_effort' must be one of {string.Join(", ", Efforts)}; found '{Text.Clip(effort)}'.");
        JsonElement? given = null;
        if (fields.Object("chat_template_kwargs") is JsonFields arguments)
        {
            foreach (string reserved in ReservedArguments)
                if (arguments.Has(reserved))
                    throw ApiException.InvalidValue("chat_template_kwargs", $"'chat_template_kwargs' may not set '{reserved}'.");
            given = fields.TryGet("chat_template_kwargs", out JsonElement value) ? value : null;
            effort = arguments.Has("reasoning_effort") ? null : effort;
        }
        return effort is null ? given : WithEffort(given, effort);
    }

    private static JsonElement WithEffort(JsonElement? arguments, string effort)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            json.WriteString("reasoning_effort"u8, effort);
            if (arguments is JsonElement given)
                foreach (JsonProperty argument in given.EnumerateObject())
                    argument.WriteTo(json);
            json.WriteEndObject();
        }
        using JsonDocument document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }
}
