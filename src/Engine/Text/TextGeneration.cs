using System.Runtime.CompilerServices;
using NativeLM.Engine.Text;

namespace NativeLM.Engine;

/// <summary>
/// The text of a running generation, to be enumerated once. Ends with exactly one event that has a finish reason; ends the generation itself when a
/// stop text is complete, when the enumerator is disposed and when the enumeration is cancelled.
/// </summary>
public sealed class TextGeneration : IAsyncEnumerable<TextEvent>
{
    private readonly IAsyncEnumerable<TokenEvent> _tokens;
    private readonly Action _cancel;
    private readonly TextAssembler _assembler;

    /// <summary>Text of a generation of the engine.</summary>
    /// <param name="generation">The generation; enumerated once.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="options">Stop texts and what to show.</param>
    /// <exception cref="ArgumentException">A stop text is empty.</exception>
    public TextGeneration(Generation generation, ModelTokenizer tokenizer, TextOptions options)
        : this(generation, generation.Cancel, tokenizer, options)
    {
    }

    /// <summary>Text over any source of token events.</summary>
    /// <param name="tokens">The tokens; enumerated once.</param>
    /// <param name="cancel">Ends the generation; called at most once, and only if it has not ended by itself.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="options">Stop texts and what to show.</param>
    /// <exception cref="ArgumentException">A stop text is empty.</exception>
    public TextGeneration(IAsyncEnumerable<TokenEvent> tokens, Action cancel, ModelTokenizer tokenizer, TextOptions options)
    {
        _tokens = tokens;
        _cancel = cancel;
        _assembler = new TextAssembler(tokenizer, options);
    }

    /// <inheritdoc/>
    public IAsyncEnumerator<TextEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default) => Run(cancellationToken);

    private async IAsyncEnumerator<TextEvent> Run(CancellationToken cancellationToken)
    {
        bool ended = false;
        try
        {
            await foreach (TokenEvent token in _tokens.WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                ended = token.FinishReason != FinishReason.None;
                TextEvent? text = _assembler.Add(token);
                if (text is not null)
                    yield return text;
                if (ended || text is { FinishReason: not FinishReason.None })
                    yield break;
            }
            ended = true;
        }
        finally
        {
            if (!ended)
                _cancel();
        }
    }
}
