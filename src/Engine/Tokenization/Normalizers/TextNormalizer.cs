using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace NativeLM.Engine.Tokenization;

/// <summary>A rewriting of text before it is split. Steps run in order; each is a plain function of the text. Any thread.</summary>
internal sealed class TextNormalizer : Normalizer
{
    private readonly IReadOnlyList<NormalizerStep> _steps;

    public TextNormalizer(IReadOnlyList<NormalizerStep> steps) => _steps = steps;

    /// <summary>Rewrites one section of the input, as it lies between added tokens.</summary>
    /// <param name="text">The section.</param>
    /// <param name="atStart">Whether it begins the input (some files put the first space only there).</param>
    public string Apply(string text, bool atStart)
    {
        foreach (NormalizerStep step in _steps)
            text = step.Kind switch
            {
                NormalizerKind.Prepend => text.Length == 0 ? text : step.Content + text,
                NormalizerKind.PrependUnlessPresent =>
                    text.Length == 0 || text.StartsWith(step.Content, StringComparison.Ordinal) ? text : step.Content + text,
                NormalizerKind.PrependAtStart =>
                    text.Length == 0 || !atStart || text.StartsWith(step.Content, StringComparison.Ordinal) ? text : step.Content + text,
                NormalizerKind.Replace => text.Replace(step.Pattern, step.Content, StringComparison.Ordinal),
                NormalizerKind.ReplaceRegex => Replace(step, text),
                NormalizerKind.Nfc => UnicodeNormalization.ToNfc(text),
                NormalizerKind.Nfd => UnicodeNormalization.ToNfd(text),
                NormalizerKind.Lowercase => text.ToLowerInvariant(),
                NormalizerKind.TrimStart => text.TrimStart(),
                NormalizerKind.TrimEnd => text.TrimEnd(),
                _ => throw new InvalidOperationException($"normalizer step {step.Kind} is unknown"),
            };
        return text;
    }

    private static string Replace(NormalizerStep step, string text)
    {
        try
        {
            return step.Regex!.Replace(text, step.Content.Replace("$", "$$", StringComparison.Ordinal));
        }
        catch (RegexMatchTimeoutException)
        {
            throw new RequestRejectedException(RejectionKind.InvalidValue, "the text takes too long to normalize with this model's tokenizer");
        }
    }

    /// <inheritdoc/>
    public override string Normalize(string original) => Apply(original, atStart: true);

    /// <inheritdoc/>
    public override string Normalize(ReadOnlySpan<char> original) => Apply(original.ToString(), atStart: true);
}

/// <summary>The rewritings known.</summary>
internal enum NormalizerKind
{
    Prepend,
    PrependUnlessPresent,
    PrependAtStart,
    Replace,
    ReplaceRegex,
    Nfc,
    Nfd,
    Lowercase,
    TrimStart,
    TrimEnd,
}

/// <summary>One rewriting with its operands.</summary>
internal sealed record NormalizerStep(NormalizerKind Kind, string Pattern = "", string Content = "", Regex? Regex = null);
