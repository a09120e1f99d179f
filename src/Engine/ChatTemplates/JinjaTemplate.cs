namespace NativeLM.Engine.ChatTemplates;

/// <summary>A parsed template. Immutable; any thread.</summary>
internal sealed class JinjaTemplate
{
    private const int RangeMax = 100_000;

    private readonly IReadOnlyList<JinjaStatement> _body;
    private readonly TemplateLimits _limits;

    private JinjaTemplate(IReadOnlyList<JinjaStatement> body, TemplateLimits limits)
    {
        _body = body;
        _limits = limits;
    }

    /// <summary>Reads a template.</summary>
    /// <exception cref="ChatTemplateException">It is too large or not a template.</exception>
    public static JinjaTemplate Parse(string source, TemplateLimits? limits = null)
    {
        limits ??= new TemplateLimits();
        if (source.Length > limits.SourceMax)
            throw new ChatTemplateException(ChatTemplateErrorKind.Syntax, $"the chat template has {source.Length} characters, at most {limits.SourceMax} are read");
        return new JinjaTemplate(JinjaParser.Parse(source), limits);
    }

    /// <summary>Runs the template.</summary>
    /// <param name="variables">Names the template sees, besides its functions.</param>
    /// <param name="clock">What strftime_now reads.</param>
    /// <exception cref="ChatTemplateException">It raised, failed or ran out of budget.</exception>
    public JinjaText Render(IEnumerable<KeyValuePair<string, JinjaValue>> variables, TimeProvider clock)
    {
        var fuel = new JinjaFuel(_limits);
        var evaluator = new JinjaEvaluator(fuel);
        var globals = new JinjaScope(null);
        AddFunctions(globals, fuel, evaluator, clock);
        foreach ((string name, JinjaValue value) in variables)
            globals.Set(name, value);
        try
        {
            return evaluator.Run(_body, new JinjaScope(globals));
        }
        catch (ChatTemplateException error) when (error.Kind == ChatTemplateErrorKind.Evaluation && error.Line == 0)
        {
            throw new ChatTemplateException(error.Kind, $"chat template, line {evaluator.Line}: {error.Message}", evaluator.Line);
        }
    }

    private static void AddFunctions(JinjaScope globals, JinjaFuel fuel, JinjaEvaluator evaluator, TimeProvider clock)
    {
        void Add(string name, Func<JinjaArguments, JinjaValue> body) => globals.Set(name, new JinjaFunction(name, body));
        Add("raise_exception", arguments =>
            throw new ChatTemplateException(ChatTemplateErrorKind.Raised, arguments.Find(0, "message") is JinjaValue message ? evaluator.Print(message).Value : ""));
        Add("namespace", arguments => Namespace(arguments, evaluator));
        Add("dict", arguments => Dictionary(arguments));
        Add("range", arguments => Range(arguments, fuel));
        Add("strftime_now", arguments => JinjaText.FromTemplate(
            PythonTime.Format(clock.GetLocalNow(), (arguments.Find(0, "format") as JinjaText)?.Value ?? throw JinjaOperators.Error("strftime_now needs a format"))));
    }

    private static JinjaNamespace Namespace(JinjaArguments arguments, JinjaEvaluator evaluator)
    {
        var result = new JinjaNamespace();
        if (arguments.Find(0, "") is JinjaMap map)
            foreach ((JinjaValue key, JinjaValue value) in map.Entries)
                result.Members[evaluator.Print(key).Value] = value;
        foreach ((string name, JinjaValue value) in arguments.Named)
            result.Members[name] = value;
        return result;
    }

    private static JinjaMap Dictionary(JinjaArguments arguments)
    {
        var result = new JinjaMap();
        if (arguments.Find(0, "") is JinjaMap map)
            foreach ((JinjaValue key, JinjaValue value) in map.Entries)
                result.Entries[key] = value;
        foreach ((string name, JinjaValue value) in arguments.Named)
            result.Entries[JinjaText.FromTemplate(name)] = value;
        return result;
    }

    private static JinjaList Range(JinjaArguments arguments, JinjaFuel fuel)
    {
        var bounds = arguments.Positional.Select(value => JinjaOperators.Integer(value)
            ?? throw JinjaOperators.Error($"'{value.TypeName}' object cannot be interpreted as an integer")).ToList();
        if (bounds.Count is 0 or > 3)
            throw JinjaOperators.Error($"range takes 1 to 3 arguments, found {bounds.Count}");
        Int128 start = bounds.Count > 1 ? bounds[0] : 0, stop = bounds.Count > 1 ? bounds[1] : bounds[0], step = bounds.Count > 2 ? bounds[2] : 1;
        if (step == 0)
            throw JinjaOperators.Error("range() arg 3 must not be zero");
        Int128 count = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
        if (count > RangeMax)
            throw new ChatTemplateException(ChatTemplateErrorKind.Budget, $"the chat template asks for a range of {count} items, at most {RangeMax} are given");
        fuel.Spend((long)Int128.Max(1, count));
        var items = new JinjaList();
        for (Int128 i = 0; i < count; i++)
            items.Items.Add(new JinjaInt((long)(start + i * step)));
        return items;
    }
}
