using System.Text.Json;
using NativeLM.Engine.ChatTemplates;
using NativeLM.Engine.Tokenization;

namespace NativeLM.Engine;

/// <summary>
/// A model's own chat template. Knows for every character of its output whether the template or a message wrote it, so that
/// <see cref="ModelTokenizer.EncodeSegments"/> never makes control tokens out of messages. Immutable; any thread.
/// </summary>
public sealed class ChatTemplate
{
    private const long MaxFileBytes = 16 << 20;

    // A template may build control tokens from a role ("<|" + role + "|>"), so these, and no others, count as the template's own text.
    private static readonly HashSet<string> Roles = ["system", "developer", "user", "assistant", "tool", "function", "ipython", "model"];

    private static readonly HashSet<string> ReservedNames =
        ["messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "tokenize", "chat_template", "bos_token", "eos_token",
         "pad_token", "unk_token", "raise_exception", "namespace", "range", "dict", "strftime_now", "loop"];

    private readonly JinjaTemplate _template;
    private readonly JinjaTemplate? _toolTemplate;
    private readonly IReadOnlyDictionary<string, string> _specialTokens;
    private readonly TimeProvider _clock;
    private readonly bool _knowsDeveloper;

    private ChatTemplate(string source, string? toolSource, IReadOnlyDictionary<string, string> specialTokens, TimeProvider? clock, TemplateLimits? limits)
    {
        Source = source;
        _template = JinjaTemplate.Parse(source, limits);
        _toolTemplate = toolSource is null ? null : JinjaTemplate.Parse(toolSource, limits);
        _specialTokens = specialTokens;
        _clock = clock ?? TimeProvider.System;
        _knowsDeveloper = source.Contains("developer", StringComparison.Ordinal);
    }

    /// <summary>The template text.</summary>
    public string Source { get; }

    /// <summary>
    /// The template of a model folder: chat_template.jinja, else chat_template of tokenizer_config.json (a text, or a list with names "default"
    /// and "tool_use"). Null when the model has none.
    /// </summary>
    /// <param name="folder">The model's folder.</param>
    /// <param name="clock">What strftime_now reads; null: the system's clock.</param>
    /// <exception cref="ChatTemplateException">The template is not one this interpreter takes.</exception>
    /// <exception cref="TokenizerFormatException">A file cannot be read.</exception>
    public static ChatTemplate? TryLoad(string folder, TimeProvider? clock = null)
    {
        TokenizerConfig config = TokenizerConfig.Load(folder);
        string file = Path.Combine(folder, "chat_template.jinja");
        string? source = File.Exists(file) ? ReadSource(file) : null;
        string? toolSource = null;
        string configFile = Path.Combine(folder, "tokenizer_config.json");
        if (source is null && File.Exists(configFile))
        {
            using JsonDocument document = JsonFile.Open(configFile, MaxFileBytes);
            (source, toolSource) = FindSources(document.RootElement, configFile);
        }
        return source is null ? null : new ChatTemplate(source, toolSource, config.SpecialTexts, clock, null);
    }

    /// <summary>A template from its text.</summary>
    /// <param name="source">The template.</param>
    /// <param name="specialTokens">Texts by name, for example bos_token.</param>
    /// <param name="clock">What strftime_now reads; null: the system's clock.</param>
    /// <param name="limits">Budget; null: the default one.</param>
    /// <exception cref="ChatTemplateException">The template is not one this interpreter takes.</exception>
    public static ChatTemplate Parse(
        string source, IReadOnlyDictionary<string, string>? specialTokens = null, TimeProvider? clock = null, TemplateLimits? limits = null) =>
        new(source, null, specialTokens ?? new Dictionary<string, string>(), clock, limits);

    /// <summary>Renders messages.</summary>
    /// <param name="messages">
    /// JSON array of messages as the API takes them. Parts of type text are joined by line breaks, arguments of tool calls that hold JSON are
    /// given as objects, and the role developer becomes system where the template does not know it.
    /// </param>
    /// <param name="options">What to add.</param>
    /// <exception cref="ChatTemplateException">The template refused the messages, failed or ran out of budget; or the input is not what it takes.</exception>
    public RenderedPrompt Render(JsonElement messages, ChatTemplateOptions options)
    {
        if (messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() == 0)
            throw InputError("messages: needed a non-empty array");
        if (options is { AddGenerationPrompt: true, ContinueFinalMessage: true })
            throw InputError("add_generation_prompt and continue_final_message exclude each other");
        var list = new JinjaList();
        foreach (JsonElement message in messages.EnumerateArray())
            list.Items.Add(Message(message));
        var variables = new Dictionary<string, JinjaValue>(StringComparer.Ordinal)
        {
            ["messages"] = list,
            ["tools"] = HasTools(options) ? JinjaValue.FromJson(options.Tools!.Value) : JinjaNone.Value,
            ["documents"] = JinjaNone.Value,
            ["add_generation_prompt"] = JinjaBool.Of(options.AddGenerationPrompt),
        };
        foreach ((string name, string text) in _specialTokens)
            variables[name] = JinjaText.FromTemplate(text);
        AddArguments(variables, options.Arguments);
        JinjaTemplate template = HasTools(options) && _toolTemplate is not null ? _toolTemplate : _template;
        JinjaText rendered = template.Render(variables, _clock);
        if (options.ContinueFinalMessage)
            rendered = CutAfterFinalMessage(rendered, (JinjaMap)list.Items[^1]);
        return new RenderedPrompt(Segments(rendered));
    }

    private static bool HasTools(ChatTemplateOptions options) =>
        options.Tools is { ValueKind: JsonValueKind.Array } tools && tools.GetArrayLength() > 0;

    private static void AddArguments(Dictionary<string, JinjaValue> variables, JsonElement? arguments)
    {
        if (arguments is not { ValueKind: not (JsonValueKind.Null or JsonValueKind.Undefined) } given)
            return;
        if (given.ValueKind != JsonValueKind.Object)
            throw InputError($"chat_template_kwargs: needed an object, found {given.ValueKind}");
        foreach (JsonProperty argument in given.EnumerateObject())
        {
            if (ReservedNames.Contains(argument.Name))
                throw InputError($"chat_template_kwargs may not set '{argument.Name}'");
            variables[argument.Name] = JinjaValue.FromJson(argument.Value);
        }
    }

    private JinjaMap Message(JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Object || JinjaValue.FromJson(json) is not JinjaMap message)
            throw InputError($"messages: needed objects, found {json.ValueKind}");
        if (message.Find("role") is JinjaText role)
        {
            string name = role.Value == "developer" && !_knowsDeveloper ? "system" : role.Value;
            if (Roles.Contains(name))
                message.Entries[JinjaText.FromTemplate("role")] = JinjaText.FromTemplate(name);
        }
        if (message.Find("content") is JinjaList { Items.Count: > 0 } parts && parts.Items.All(IsTextPart))
            message.Entries[JinjaText.FromTemplate("content")] = JoinParts(parts);
        if (message.Find("tool_calls") is JinjaList calls)
            foreach (JinjaValue call in calls.Items)
                if ((call as JinjaMap)?.Find("function") is JinjaMap function)
                    ParseArguments(function);
        return message;
    }

    private static bool IsTextPart(JinjaValue part) =>
        part is JinjaMap map && map.Find("type") is JinjaText { Value: "text" } && map.Find("text") is JinjaText;

    private static JinjaText JoinParts(JinjaList parts)
    {
        var text = new JinjaTextBuilder();
        for (int i = 0; i < parts.Items.Count; i++)
        {
            if (i > 0)
                text.Append(JinjaText.FromContent("\n"));
            text.Append((JinjaText)((JinjaMap)parts.Items[i]).Find("text")!);
        }
        return text.ToText();
    }

    // Templates iterate over arguments or print them as JSON; both want the object, not its spelling.
    private static void ParseArguments(JinjaMap function)
    {
        if (function.Find("arguments") is not JinjaText { Length: > 0 } text)
            return;
        try
        {
            using JsonDocument document = JsonDocument.Parse(text.Value, new JsonDocumentOptions { MaxDepth = 32 });
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                function.Entries[JinjaText.FromTemplate("arguments")] = JinjaValue.FromJson(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            // Not JSON: the template gets the text as it came.
        }
    }

    private static JinjaText CutAfterFinalMessage(JinjaText rendered, JinjaMap message)
    {
        string text = (message.Find("content") as JinjaText)?.Value.Trim() ?? "";
        int at = text.Length == 0 ? -1 : rendered.Value.LastIndexOf(text, StringComparison.Ordinal);
        return at >= 0
            ? rendered.Slice(0, at + text.Length)
            : throw InputError("continue_final_message: the last message has no text that the template renders");
    }

    private static List<PromptSegment> Segments(JinjaText text)
    {
        var segments = new List<PromptSegment>();
        int at = 0;
        ReadOnlySpan<int> content = text.Content;
        for (int i = 0; i < content.Length; i += 2)
        {
            if (content[i] > at)
                segments.Add(new PromptSegment(text.Value[at..content[i]], false));
            segments.Add(new PromptSegment(text.Value[content[i]..content[i + 1]], true));
            at = content[i + 1];
        }
        if (at < text.Length)
            segments.Add(new PromptSegment(text.Value[at..], false));
        return segments;
    }

    private static (string? Source, string? ToolSource) FindSources(JsonElement config, string file)
    {
        if (config.ValueKind != JsonValueKind.Object || !config.TryGetProperty("chat_template", out JsonElement template))
            return (null, null);
        if (template.ValueKind == JsonValueKind.String)
            return (JsonFile.String(template, file), null);
        if (template.ValueKind != JsonValueKind.Array)
            return (null, null);
        string? first = null, normal = null, tools = null;
        foreach (JsonElement entry in template.EnumerateArray())
        {
            if (entry.ValueKind != JsonValueKind.Object || !entry.TryGetProperty("template", out JsonElement text) || text.ValueKind != JsonValueKind.String)
                continue;
            string source = JsonFile.String(text, file);
            first ??= source;
            string name = entry.TryGetProperty("name", out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";
            normal = name == "default" ? source : normal;
            tools = name == "tool_use" ? source : tools;
        }
        return (normal ?? first, tools);
    }

    private static string ReadSource(string file) => new FileInfo(file).Length <= MaxFileBytes
        ? File.ReadAllText(file)
        : throw new TokenizerFormatException(file, $"is larger than {MaxFileBytes} bytes");

    private static ChatTemplateException InputError(string message) => new(ChatTemplateErrorKind.Input, message);
}
