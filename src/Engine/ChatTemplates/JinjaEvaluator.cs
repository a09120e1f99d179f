namespace NativeLM.Engine.ChatTemplates;

/// <summary>Runs the statements of one template once, within its fuel. One thread.</summary>
internal sealed class JinjaEvaluator(JinjaFuel fuel)
{
    private enum Flow
    {
        Next,
        Break,
        Continue,
    }

    private JinjaTextBuilder _output = new();

    /// <summary>What is left of the budget.</summary>
    public JinjaFuel Fuel { get; } = fuel;

    /// <summary>Line of the statement that runs, for messages.</summary>
    public int Line { get; private set; }

    /// <summary>Runs a template and returns its output.</summary>
    public JinjaText Run(IReadOnlyList<JinjaStatement> body, JinjaScope scope)
    {
        Execute(body, scope);
        return _output.ToText();
    }

    // ---- statements

    private Flow Execute(IReadOnlyList<JinjaStatement> body, JinjaScope scope)
    {
        Fuel.Enter();
        foreach (JinjaStatement statement in body)
        {
            Flow flow = Execute(statement, scope);
            if (flow != Flow.Next)
            {
                Fuel.Leave();
                return flow;
            }
        }
        Fuel.Leave();
        return Flow.Next;
    }

    private Flow Execute(JinjaStatement statement, JinjaScope scope)
    {
        Fuel.Spend();
        Line = statement.Line;
        switch (statement)
        {
            case Data data:
                Emit(data.Text);
                break;
            case Output output:
                Emit(Print(Evaluate(output.Value, scope)));
                break;
            case If branch:
                return ExecuteIf(branch, scope);
            case For loop:
                ExecuteFor(loop, scope);
                break;
            case Set set:
                Assign(set.Target, Evaluate(set.Value, scope), scope);
                break;
            case SetBlock set:
                JinjaValue captured = Capture(set.Body, new JinjaScope(scope));
                Assign(set.Target, set.Filters is null ? captured : Pipe(set.Filters, captured, scope), scope);
                break;
            case Macro macro:
                scope.Set(macro.Name, MacroFunction(macro, scope));
                break;
            case CallBlock block:
                ExecuteCallBlock(block, scope);
                break;
            case FilterBlock block:
                Emit(Print(Pipe(block.Filters, Capture(block.Body, new JinjaScope(scope)), scope)));
                break;
            case With with:
                return ExecuteWith(with, scope);
            case Break:
                return Flow.Break;
            case Continue:
                return Flow.Continue;
            case Do statementOnly:
                Evaluate(statementOnly.Value, scope);
                break;
        }
        return Flow.Next;
    }

    private Flow ExecuteIf(If branch, JinjaScope scope)
    {
        while (true)
        {
            if (JinjaOperators.IsTrue(Evaluate(branch.Condition, scope)))
                return Execute(branch.Then, scope);
            if (branch.Else is not [If next]) // elif chains cost no depth
                return Execute(branch.Else, scope);
            branch = next;
            Fuel.Spend();
        }
    }

    private void ExecuteFor(For loop, JinjaScope scope)
    {
        IReadOnlyList<JinjaValue> items = Items(Evaluate(loop.Items, scope));
        if (loop.Condition is not null)
            items = [.. items.Where(item => Matches(loop, item, scope))];
        var state = new JinjaLoop(items, scope.LoopDepth);
        bool ran = false;
        for (int i = 0; i < items.Count; i++)
        {
            Fuel.Spend();
            ran = true;
            state.Index = i;
            var inner = new JinjaScope(scope) { LoopDepth = scope.LoopDepth + 1 };
            inner.Set("loop", state);
            Assign(loop.Target, items[i], inner);
            if (Execute(loop.Body, inner) == Flow.Break)
                break;
        }
        if (!ran)
            Execute(loop.Else, new JinjaScope(scope));
    }

    private bool Matches(For loop, JinjaValue item, JinjaScope scope)
    {
        var inner = new JinjaScope(scope);
        Assign(loop.Target, item, inner);
        return JinjaOperators.IsTrue(Evaluate(loop.Condition!, inner));
    }

    private void ExecuteCallBlock(CallBlock block, JinjaScope scope)
    {
        JinjaValue target = Evaluate(block.Call.Target, scope);
        JinjaArguments arguments = Arguments(block.Call.Arguments, scope);
        arguments.Named["caller"] = MacroFunction(block.Caller, scope);
        Emit(Print(Invoke(target, arguments)));
    }

    private Flow ExecuteWith(With with, JinjaScope scope)
    {
        var inner = new JinjaScope(scope);
        foreach ((JinjaExpression target, JinjaExpression value) in with.Values)
            Assign(target, Evaluate(value, scope), inner);
        return Execute(with.Body, inner);
    }

    private JinjaText Capture(IReadOnlyList<JinjaStatement> body, JinjaScope scope)
    {
        JinjaTextBuilder outer = _output;
        _output = new JinjaTextBuilder();
        Execute(body, scope);
        JinjaText text = _output.ToText();
        _output = outer;
        return text;
    }

    private void Emit(JinjaText text)
    {
        Fuel.SpendText(text.Length, (long)_output.Length + text.Length);
        _output.Append(text);
    }

    private void Assign(JinjaExpression target, JinjaValue value, JinjaScope scope)
    {
        switch (target)
        {
            case Name name:
                scope.Set(name.Text, value);
                break;
            case Attribute { Target: Name owner } attribute:
                if (scope.Find(owner.Text) is not JinjaNamespace members)
                    throw JinjaOperators.Error("cannot assign attribute on non-namespace object");
                members.Members[attribute.Member] = value;
                break;
            case ListLiteral list:
                IReadOnlyList<JinjaValue> items = Items(value);
                if (items.Count != list.Items.Count)
                    throw JinjaOperators.Error($"needed {list.Items.Count} values to unpack, found {items.Count}");
                for (int i = 0; i < items.Count; i++)
                    Assign(list.Items[i], items[i], scope);
                break;
        }
    }

    private JinjaFunction MacroFunction(Macro macro, JinjaScope scope) => new(macro.Name, arguments =>
    {
        var inner = new JinjaScope(scope) { LoopDepth = 0 };
        for (int i = 0; i < macro.Parameters.Count; i++)
        {
            (string name, JinjaExpression? fallback) = macro.Parameters[i];
            inner.Set(name, arguments.Find(i, name) ?? (fallback is null ? new JinjaUndefined($"parameter '{name}' was not provided") : Evaluate(fallback, inner)));
        }
        inner.Set("varargs", new JinjaList(arguments.Positional.Skip(macro.Parameters.Count), isTuple: true));
        var named = new JinjaMap();
        foreach ((string name, JinjaValue value) in arguments.Named)
            if (name != "caller" && macro.Parameters.All(parameter => parameter.Name != name))
                named.Entries[JinjaText.FromTemplate(name)] = value;
        inner.Set("kwargs", named);
        if (arguments.Named.TryGetValue("caller", out JinjaValue? caller))
            inner.Set("caller", caller);
        return Capture(macro.Body, inner);
    });

    // ---- expressions

    /// <summary>The value of an expression.</summary>
    public JinjaValue Evaluate(JinjaExpression expression, JinjaScope scope)
    {
        switch (expression)
        {
            case Literal literal:
                return literal.Value;
            case Name name:
                return scope.Find(name.Text) ?? new JinjaUndefined($"'{name.Text}' is undefined");
        }
        Fuel.Enter();
        JinjaValue value = expression switch
        {
            Attribute attribute => Member(Evaluate(attribute.Target, scope), attribute.Member),
            Subscript subscript => Item(Evaluate(subscript.Target, scope), Evaluate(subscript.Index, scope)),
            Binary binary => EvaluateBinary(binary, scope),
            Comparison comparison => EvaluateComparison(comparison, scope),
            Unary unary => EvaluateUnary(unary, scope),
            Conditional conditional => EvaluateConditional(conditional, scope),
            Call call => Invoke(Evaluate(call.Target, scope), Arguments(call.Arguments, scope)),
            Filter filter => JinjaFilters.Apply(this, filter.Name, Evaluate(filter.Value!, scope), Arguments(filter.Arguments, scope)),
            Test test => JinjaBool.Of(JinjaTests.Apply(test.Name, Evaluate(test.Value, scope), Arguments(test.Arguments, scope), Fuel) != test.Negated),
            Slice slice => EvaluateSlice(slice, scope),
            ListLiteral list => new JinjaList(list.Items.Select(item => Evaluate(item, scope)), list.IsTuple),
            MapLiteral map => EvaluateMap(map, scope),
            _ => throw JinjaOperators.Error($"unknown expression {expression.GetType().Name}"),
        };
        Fuel.Leave();
        return value;
    }

    private JinjaValue EvaluateConditional(Conditional conditional, JinjaScope scope)
    {
        if (JinjaOperators.IsTrue(Evaluate(conditional.Condition, scope)))
            return Evaluate(conditional.Then, scope);
        return conditional.Else is null
            ? new JinjaUndefined("the inline if-expression evaluated to false and no else section was defined.")
            : Evaluate(conditional.Else, scope);
    }

    private JinjaValue EvaluateBinary(Binary binary, JinjaScope scope)
    {
        JinjaValue left = Evaluate(binary.Left, scope);
        switch (binary.Operator)
        {
            case "and":
                return JinjaOperators.IsTrue(left) ? Evaluate(binary.Right, scope) : left;
            case "or":
                return JinjaOperators.IsTrue(left) ? left : Evaluate(binary.Right, scope);
            case "~":
                JinjaText first = Print(left), second = Print(Evaluate(binary.Right, scope));
                Fuel.SpendText((long)first.Length + second.Length);
                return first.Concat(second).WithMarkup(false);
            default:
                return JinjaOperators.Arithmetic(binary.Operator, left, Evaluate(binary.Right, scope), Fuel);
        }
    }

    private JinjaValue EvaluateUnary(Unary unary, JinjaScope scope)
    {
        JinjaValue operand = Evaluate(unary.Operand, scope);
        return unary.Operator switch
        {
            "not" => JinjaBool.Of(!JinjaOperators.IsTrue(operand)),
            "-" when operand is JinjaFloat number => new JinjaFloat(-number.Value),
            "-" => JinjaOperators.Arithmetic("-", new JinjaInt(0), operand, Fuel),
            _ => JinjaOperators.Arithmetic("+", new JinjaInt(0), operand, Fuel),
        };
    }

    private JinjaBool EvaluateComparison(Comparison comparison, JinjaScope scope)
    {
        JinjaValue left = Evaluate(comparison.First, scope);
        foreach ((string operation, JinjaExpression expression) in comparison.Rest)
        {
            JinjaValue right = Evaluate(expression, scope);
            bool holds = operation switch
            {
                "==" => JinjaOperators.AreEqual(left, right, Fuel),
                "!=" => !JinjaOperators.AreEqual(left, right, Fuel),
                "in" => JinjaOperators.Contains(right, left, Fuel),
                "not in" => !JinjaOperators.Contains(right, left, Fuel),
                "<" => JinjaOperators.Compare(left, right, operation, Fuel) < 0,
                "<=" => JinjaOperators.Compare(left, right, operation, Fuel) <= 0,
                ">" => JinjaOperators.Compare(left, right, operation, Fuel) > 0,
                _ => JinjaOperators.Compare(left, right, operation, Fuel) >= 0,
            };
            if (!holds)
                return JinjaBool.Of(false);
            left = right;
        }
        return JinjaBool.Of(true);
    }

    private JinjaMap EvaluateMap(MapLiteral literal, JinjaScope scope)
    {
        var map = new JinjaMap();
        foreach ((JinjaExpression key, JinjaExpression value) in literal.Entries)
            map.Entries[Evaluate(key, scope)] = Evaluate(value, scope);
        return map;
    }

    private JinjaValue EvaluateSlice(Slice slice, JinjaScope scope)
    {
        JinjaValue target = Evaluate(slice.Target, scope);
        long step = SliceBound(slice.Step, scope) ?? 1;
        if (step == 0)
            throw JinjaOperators.Error("slice step cannot be zero");
        int count = target switch
        {
            JinjaText whole => JinjaStrings.Length(whole),
            JinjaList items => items.Items.Count,
            JinjaUndefined undefined => throw JinjaOperators.Error(undefined.Hint),
            _ => throw JinjaOperators.Error($"'{target.TypeName}' object is not subscriptable"),
        };
        long lowest = step > 0 ? 0 : -1, highest = step > 0 ? count : count - 1;
        long Bound(JinjaExpression? bound, long fallback) =>
            SliceBound(bound, scope) is long given ? Math.Clamp(given < 0 ? given + count : given, lowest, highest) : fallback;
        long start = Bound(slice.Start, step > 0 ? 0 : count - 1), stop = Bound(slice.Stop, step > 0 ? count : -1);
        Fuel.Spend(1 + Math.Max(0, (stop - start) / step) / 8);
        if (target is JinjaText text && step == 1)
            return JinjaStrings.Substring(text, (int)start, (int)Math.Max(start, stop));
        List<JinjaValue> source = target is JinjaText spelled ? JinjaStrings.Characters(spelled) : ((JinjaList)target).Items;
        var part = new List<JinjaValue>();
        for (long i = start; step > 0 ? i < stop : i > stop; i += Math.Clamp(step, -count - 1L, count + 1L))
            part.Add(source[(int)i]);
        return target is JinjaText ? Join(JinjaText.Empty, part) : new JinjaList(part, ((JinjaList)target).IsTuple);
    }

    private long? SliceBound(JinjaExpression? bound, JinjaScope scope)
    {
        if (bound is null || Evaluate(bound, scope) is not JinjaValue value || value is JinjaNone)
            return null;
        long number = JinjaOperators.Integer(value)
            ?? throw JinjaOperators.Error($"slice indices must be integers or None, found '{value.TypeName}'");
        return Math.Clamp(number, int.MinValue, int.MaxValue);
    }

    private JinjaArguments Arguments(CallArguments written, JinjaScope scope)
    {
        var arguments = new JinjaArguments();
        foreach (JinjaExpression positional in written.Positional)
            arguments.Positional.Add(Evaluate(positional, scope));
        if (written.Spread is not null)
            arguments.Positional.AddRange(Items(Evaluate(written.Spread, scope)));
        foreach ((string name, JinjaExpression value) in written.Named)
            arguments.Named[name] = Evaluate(value, scope);
        if (written.NamedSpread is not null && Evaluate(written.NamedSpread, scope) is JinjaMap map)
            foreach ((JinjaValue key, JinjaValue value) in map.Entries)
                arguments.Named[Print(key).Value] = value;
        return arguments;
    }

    private JinjaValue Invoke(JinjaValue target, JinjaArguments arguments)
    {
        Fuel.Enter();
        JinjaValue value = target switch
        {
            JinjaFunction function => function.Body(arguments),
            JinjaUndefined undefined => throw JinjaOperators.Error(undefined.Hint),
            _ => throw JinjaOperators.Error($"'{target.TypeName}' object is not callable"),
        };
        Fuel.Leave();
        return value;
    }

    // The filters of a filter block or set block, around the text of its body.
    private JinjaValue Pipe(JinjaExpression filters, JinjaValue body, JinjaScope scope)
    {
        var chain = new Stack<Filter>();
        for (JinjaExpression? at = filters; at is Filter filter; at = filter.Value)
            chain.Push(filter);
        foreach (Filter filter in chain)
            body = JinjaFilters.Apply(this, filter.Name, body, Arguments(filter.Arguments, scope));
        return body;
    }

    // ---- values

    /// <summary>What printing a value gives.</summary>
    public JinjaText Print(JinjaValue value) => JinjaOperators.Print(value, Fuel);

    /// <summary>Items of anything that can be iterated.</summary>
    public IReadOnlyList<JinjaValue> Items(JinjaValue value)
    {
        switch (value)
        {
            case JinjaList list:
                Fuel.Spend(list.Items.Count / 8);
                return list.Items;
            case JinjaMap map:
                Fuel.Spend(map.Entries.Count);
                return [.. map.Entries.Keys];
            case JinjaText text:
                Fuel.Spend(text.Length);
                return JinjaStrings.Characters(text);
            case JinjaLoop loop:
                return loop.Items;
            case JinjaUndefined:
                return [];
            default:
                throw JinjaOperators.Error($"'{value.TypeName}' object is not iterable");
        }
    }

    /// <summary>Printed items with a separator between.</summary>
    public JinjaText Join(JinjaText separator, IEnumerable<JinjaValue> items)
    {
        var builder = new JinjaTextBuilder();
        bool first = true;
        foreach (JinjaValue item in items)
        {
            JinjaText text = Print(item);
            Fuel.SpendText(text.Length + separator.Length, (long)builder.Length + text.Length + separator.Length);
            if (!first)
                builder.Append(separator);
            builder.Append(text);
            first = false;
        }
        return builder.ToText();
    }

    /// <summary>value.name: a method, a member of a namespace or loop, or a dictionary's entry.</summary>
    public JinjaValue Member(JinjaValue value, string name) => value switch
    {
        JinjaUndefined undefined => throw JinjaOperators.Error(undefined.Hint),
        JinjaNamespace members when members.Members.TryGetValue(name, out JinjaValue? member) => member,
        JinjaLoop loop => JinjaLoopMembers.Find(loop, name, Fuel) ?? Missing(value, name),
        _ => JinjaMethods.Find(this, value, name) ?? (value as JinjaMap)?.Find(name) ?? Missing(value, name),
    };

    /// <summary>A member by a dotted path, as sort and map take it.</summary>
    public JinjaValue MemberByPath(JinjaValue value, string path)
    {
        foreach (string part in path.Split('.'))
            value = int.TryParse(part, out int index) ? Item(value, new JinjaInt(index)) : Item(value, JinjaText.FromTemplate(part));
        return value;
    }

    /// <summary>value[index].</summary>
    private JinjaValue Item(JinjaValue value, JinjaValue index)
    {
        switch (value)
        {
            case JinjaUndefined undefined:
                throw JinjaOperators.Error(undefined.Hint);
            case JinjaMap map when map.Entries.TryGetValue(index, out JinjaValue? entry):
                return entry;
            case JinjaList list when JinjaOperators.Integer(index) is long at:
                at += at < 0 ? list.Items.Count : 0;
                return at >= 0 && at < list.Items.Count ? list.Items[(int)at] : new JinjaUndefined($"{list.TypeName} object has no element {at}");
            case JinjaText text when JinjaOperators.Integer(index) is long at:
                int count = JinjaStrings.Length(text);
                at += at < 0 ? count : 0;
                return at >= 0 && at < count ? JinjaStrings.Substring(text, (int)at, (int)at + 1) : new JinjaUndefined($"str object has no element {at}");
        }
        return index is JinjaText name ? Member(value, name.Value) : Missing(value, Print(index).Value);
    }

    private static JinjaUndefined Missing(JinjaValue value, string name) => new($"'{value.TypeName} object' has no attribute '{name}'");
}
