using NativeLM.Engine.Text;

namespace NativeLM.Engine;

/// <summary>
/// The text of a running generation, to be enumerated once. Each of its outputs ends with exactly one event that has a finish reason; those of
/// several interleave. A complete stop text ends its own output and leaves the others alone; disposing the enumerator or cancelling the
/// enumeration ends them all. An output that fails or is cut off is reported as such, and the enumeration goes on.
/// </summary>
public sealed class TextGeneration : IAsyncEnumerable<TextEvent>
{
    private readonly IAsyncEnumerable<TokenEvent> _tokens;
    private readonly Action _cancel;
    private readonly Action<int> _cancelOne;
    private readonly TextOptions _options;
    private readonly TextAssembler?[] _open; // null once the output has ended
    private int _openCount;
    private int _runningCount; // sequences whose end the source has not reported

    /// <summary>Text of a generation of the engine.</summary>
    /// <param name="generation">The generation; enumerated once.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="options">Stop texts and what to show.</param>
    public TextGeneration(Generation generation, ModelTokenizer tokenizer, TextOptions options)
        : this(generation, generation.SequenceCount, generation.Cancel, generation.Cancel, tokenizer, options)
    {
    }

    /// <summary>Text of one sequence from any source of token events.</summary>
    /// <param name="tokens">The tokens; enumerated once.</param>
    /// <param name="cancel">Ends the generation; called only if it has not ended by itself.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="options">Stop texts and what to show.</param>
    public TextGeneration(IAsyncEnumerable<TokenEvent> tokens, Action cancel, ModelTokenizer tokenizer, TextOptions options)
        : this(tokens, 1, cancel, _ => cancel(), tokenizer, options)
    {
    }

    /// <summary>Texts of several sequences from any source of token events.</summary>
    /// <param name="tokens">The tokens; enumerated once. Each sequence ends with an event of its own.</param>
    /// <param name="sequenceCount">How many sequences there are.</param>
    /// <param name="cancel">Ends the generation; called only if it has not ended by itself.</param>
    /// <param name="cancelOne">Ends one sequence; called at most once for each, and only if it has not ended by itself.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="options">Stop texts and what to show.</param>
    public TextGeneration(
        IAsyncEnumerable<TokenEvent> tokens, int sequenceCount, Action cancel, Action<int> cancelOne, ModelTokenizer tokenizer, TextOptions options)
    {
        _tokens = tokens;
        _cancel = cancel;
        _cancelOne = cancelOne;
        _options = options;
        _open = [.. Enumerable.Range(0, sequenceCount).Select(index => new TextAssembler(tokenizer, options, index))];
        _openCount = _runningCount = sequenceCount;
    }

    /// <summary>Tokens generated so far, of all sequences: those behind stop texts and those of outputs that are not kept included.</summary>
    public int CompletionTokenCount { get; private set; }

    /// <inheritdoc/>
    public IAsyncEnumerator<TextEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        _options.KeepBest is int keep && keep < _open.Length ? RunBest(keep, cancellationToken) : Run(cancellationToken);

    private async IAsyncEnumerator<TextEvent> Run(CancellationToken cancellationToken)
    {
        try
        {
            await foreach (TokenEvent token in _tokens.WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                if (Take(token) is TextEvent text)
                    yield return text;
                if (_openCount == 0 && (_runningCount == 0 || !_options.AwaitsEnd))
                    yield break;
            }
            _runningCount = 0;
        }
        finally
        {
            if (_runningCount > 0)
                _cancel();
        }
    }

    /// <summary>The best outputs once all have ended; a failure of any at once, for the request has then failed.</summary>
    private async IAsyncEnumerator<TextEvent> RunBest(int keep, CancellationToken cancellationToken)
    {
        BestOutputs outputs = new(_open.Length);
        await using IAsyncEnumerator<TextEvent> events = Run(cancellationToken);
        while (await events.MoveNextAsync().ConfigureAwait(false))
        {
            if (events.Current.FinishReason is not (FinishReason.None or FinishReason.Stop or FinishReason.Length))
            {
                yield return events.Current with { Index = 0 };
                yield break;
            }
            outputs.Add(events.Current);
        }
        foreach (TextEvent best in outputs.Best(keep))
            yield return best;
    }

    /// <summary>Hands a token to its output. One whose text has ended may still run for a step: what comes then is dropped.</summary>
    private TextEvent? Take(in TokenEvent token)
    {
        if (token.FinishReason != FinishReason.None)
            _runningCount--;
        if (_open[token.Index] is not TextAssembler output)
            return null;
        if (token.TokenId >= 0)
            CompletionTokenCount++;
        TextEvent? text = output.Add(token);
        if (text is not { FinishReason: not FinishReason.None })
            return text;
        _open[token.Index] = null;
        _openCount--;
        // The last one ends with the enumeration.
        if (token.FinishReason == FinishReason.None && (_openCount > 0 || _options.AwaitsEnd))
            _cancelOne(token.Index);
        return text;
    }
}
