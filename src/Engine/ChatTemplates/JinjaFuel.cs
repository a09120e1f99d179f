using System.Runtime.CompilerServices;

namespace NativeLM.Engine.ChatTemplates;

/// <summary>What is left of a rendering's budget. One thread.</summary>
internal sealed class JinjaFuel(TemplateLimits limits)
{
    private long _steps = limits.StepsMax;
    private int _depth;

    /// <summary>Longest text allowed.</summary>
    public int TextMax => limits.OutputMax;

    /// <summary>Takes steps.</summary>
    public void Spend(long steps = 1)
    {
        if ((_steps -= steps) < 0)
            throw Error($"it needs more than {limits.StepsMax} steps");
    }

    /// <summary>Takes the steps of building so many characters, and checks their number.</summary>
    public void SpendText(long length) => SpendText(length, length);

    /// <summary>Takes the steps of adding so many characters to a text, and checks its length after that.</summary>
    public void SpendText(long added, long total)
    {
        if (total > limits.OutputMax)
            throw Error($"a text of {total} characters is longer than {limits.OutputMax}");
        Spend(1 + added / 8);
    }

    /// <summary>Goes one level deeper; <see cref="Leave"/> must follow.</summary>
    public void Enter()
    {
        if (++_depth > limits.DepthMax || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw Error($"it nests deeper than {limits.DepthMax} levels");
        Spend();
    }

    /// <summary>Comes back from <see cref="Enter"/>.</summary>
    public void Leave() => _depth--;

    private static ChatTemplateException Error(string message) => new(ChatTemplateErrorKind.Budget, $"the chat template exceeds its budget: {message}");
}
