namespace NativeLM.Engine.Text;

/// <summary>
/// Turns the token events of one sequence into text events: holds back incomplete code points and what may become a stop text, and cuts at the
/// first stop text. One thread at a time.
/// </summary>
internal sealed class TextAssembler
{
    private readonly TextOptions _options;
    private readonly IncrementalDetokenizer _detokenizer;
    private readonly int _index;
    private int _stopPlace;
    private readonly Queue<(TextToken Token, int End)> _waiting = new();
    private char[] _held = new char[64];
    private int _heldCount;
    private int _released; // UTF-16 units handed out
    private int _count;
    private IReadOnlyList<PromptLogprob>? _promptLogprobs;

    public TextAssembler(ModelTokenizer tokenizer, TextOptions options, int index = 0)
    {
        _options = options;
        _index = index;
        _detokenizer = tokenizer.CreateDetokenizer(options.SkipSpecialTokens, options.ContinuesText);
    }

    /// <summary>Takes one event of the engine; returns what can now be said, or null. After an event with a finish reason nothing may follow.</summary>
    public TextEvent? Add(in TokenEvent token)
    {
        _promptLogprobs = token.PromptLogprobs ?? _promptLogprobs;
        bool ends = token.FinishReason != FinishReason.None;
        if (token.TokenId >= 0)
        {
            int start = _released + _heldCount;
            _count++;
            int stop = Hold(_detokenizer.Append(token.TokenId), out int cut);
            _waiting.Enqueue((new TextToken(token, start), _released + _heldCount + (_detokenizer.HoldsBack ? 1 : 0)));
            if (stop >= 0)
                return Stopped(stop, cut);
        }
        if (!ends)
            return Release(Releasable());
        if (_options.IncludeStop && token.StopTokenId >= 0 && Hold(_detokenizer.Append(token.StopTokenId), out int early) is int inStop and >= 0)
            return Stopped(inStop, early);
        if (Hold(_detokenizer.Finish(), out int last) is int atEnd and >= 0)
            return Stopped(atEnd, last);
        return Release(_heldCount, everyToken: true)! with
        {
            FinishReason = token.FinishReason,
            StopTokenId = token.FinishReason == FinishReason.Stop ? token.StopTokenId : -1,
            Error = token.Error,
            EndLogprob = token.TokenId < 0 && token.FinishReason == FinishReason.Stop ? token.Logprob : 0,
        };
    }

    /// <summary>Adds text to what is held; returns the stop text that it completes, or -1, and how much of the held text stays.</summary>
    private int Hold(ReadOnlySpan<char> text, out int cut)
    {
        if (_heldCount + text.Length > _held.Length)
            Array.Resize(ref _held, Math.Max(_held.Length * 2, _heldCount + text.Length));
        foreach (char c in text)
        {
            _held[_heldCount++] = c;
            if (_options.Matcher?.Advance(ref _stopPlace, c) is int stop and >= 0)
            {
                cut = _options.IncludeStop ? _heldCount : _heldCount - _options.Stop[stop].Length;
                return stop;
            }
        }
        cut = _heldCount;
        return -1;
    }

    private int Releasable()
    {
        int count = _heldCount - (_options.Matcher?.HeldBack(_stopPlace) ?? 0);
        return count > 0 && char.IsHighSurrogate(_held[count - 1]) ? count - 1 : count;
    }

    private TextEvent Stopped(int stop, int cut)
    {
        // Tokens that begin behind the cut carry none of the output.
        int end = _released + cut;
        TextToken[] tokens = [.. _waiting.Where(item => item.Token.TextOffset < end || item.End <= end).Select(item => item.Token)];
        _waiting.Clear();
        return Event(cut, tokens) with { FinishReason = FinishReason.Stop, StopString = _options.Stop[stop] };
    }

    private TextEvent? Release(int count, bool everyToken = false)
    {
        int tokens = 0;
        foreach ((TextToken _, int end) in _waiting)
        {
            if (end > _released + count && !everyToken)
                break;
            tokens++;
        }
        if (count == 0 && tokens == 0 && !everyToken && _promptLogprobs is null)
            return null;
        var delivered = tokens == 0 ? [] : new TextToken[tokens];
        for (int i = 0; i < tokens; i++)
            delivered[i] = _waiting.Dequeue().Token;
        return Event(count, delivered);
    }

    private TextEvent Event(int count, TextToken[] tokens)
    {
        var text = new TextEvent
        {
            Index = _index,
            Text = new string(_held, 0, count),
            Tokens = tokens,
            CompletionTokenCount = _count,
            PromptLogprobs = _promptLogprobs,
        };
        _held.AsSpan(count, _heldCount - count).CopyTo(_held);
        _heldCount -= count;
        _released += count;
        _promptLogprobs = null;
        return text;
    }
}
