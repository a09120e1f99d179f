using System.Buffers;

namespace NativeLM.Engine.Tokenization;

/// <summary>Finds added tokens in text: leftmost, then longest. A trie, so the cost per position is the longest token at worst. Any thread.</summary>
internal sealed class AddedTokens
{
    private readonly List<AddedToken> _tokens = [];
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<int> _tokenAt = [-1]; // by trie node: index into _tokens, or -1
    private readonly SearchValues<char> _starts;

    public AddedTokens(IEnumerable<AddedToken> tokens)
    {
        foreach (AddedToken token in tokens)
        {
            int node = 0;
            foreach (char c in token.Content)
            {
                if (!_edges.TryGetValue((node, c), out int child))
                {
                    child = _tokenAt.Count;
                    _tokenAt.Add(-1);
                    _edges.Add((node, c), child);
                }
                node = child;
            }
            _tokenAt[node] = _tokens.Count;
            _tokens.Add(token);
        }
        _starts = SearchValues.Create([.. _tokens.Select(token => token.Content[0]).Distinct()]);
    }

    /// <summary>Whether there is nothing to find.</summary>
    public bool IsEmpty => _tokens.Count == 0;

    /// <summary>The next token at or after <paramref name="from"/>.</summary>
    /// <param name="text">The text searched.</param>
    /// <param name="from">Where to begin.</param>
    /// <param name="content">Stretches where control tokens must not be found; asked in increasing order of position.</param>
    /// <param name="match">The token, and its stretch with the white space it takes along; the stretch never begins before <paramref name="from"/>.</param>
    public bool TryFind(ReadOnlySpan<char> text, int from, ref ContentRanges content, out AddedTokenMatch match)
    {
        for (int at = from; at < text.Length; at++)
        {
            int skip = text[at..].IndexOfAny(_starts);
            if (skip < 0)
                break;
            at += skip;
            if (LongestAt(text, at, ref content) is not AddedToken token)
                continue;
            int start = at, end = at + token.Content.Length;
            while (token.StripLeft && start > from && char.IsWhiteSpace(text[start - 1]))
                start--;
            while (token.StripRight && end < text.Length && char.IsWhiteSpace(text[end]))
                end++;
            match = new AddedTokenMatch(token.Id, start, end);
            return true;
        }
        match = default;
        return false;
    }

    private AddedToken? LongestAt(ReadOnlySpan<char> text, int at, ref ContentRanges content)
    {
        AddedToken? longest = null;
        int node = 0;
        for (int end = at; end < text.Length && _edges.TryGetValue((node, text[end]), out node); end++)
        {
            if (_tokenAt[node] < 0)
                continue;
            AddedToken token = _tokens[_tokenAt[node]];
            if (token.IsControl && content.Touches(at, end + 1))
                continue;
            if (token.SingleWord && (IsWordAt(text, at - 1) || IsWordAt(text, end + 1)))
                continue;
            longest = token;
        }
        return longest;
    }

    private static bool IsWordAt(ReadOnlySpan<char> text, int at) =>
        (uint)at < (uint)text.Length && (char.IsLetterOrDigit(text[at]) || text[at] == '_');
}

/// <summary>An added token found in text[Start..End].</summary>
internal readonly record struct AddedTokenMatch(int Id, int Start, int End);

/// <summary>Ordered stretches of a text that came from users. Remembers its place, so questions must come in increasing order of start.</summary>
internal ref struct ContentRanges(ReadOnlySpan<(int Start, int End)> ranges)
{
    private readonly ReadOnlySpan<(int Start, int End)> _ranges = ranges;
    private int _next;

    /// <summary>Whether text[start..end] holds a character of a content stretch.</summary>
    public bool Touches(int start, int end)
    {
        while (_next < _ranges.Length && _ranges[_next].End <= start)
            _next++;
        return _next < _ranges.Length && _ranges[_next].Start < end;
    }
}
