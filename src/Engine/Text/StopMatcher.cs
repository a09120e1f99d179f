namespace NativeLM.Engine.Text;

/// <summary>
/// Finds the first of several texts in streams of characters, in linear time whatever their overlap (Aho and Corasick 1975), and tells how much
/// of the end could still become one. Fixed once made, so that all outputs of a request share it: each keeps its own place, from 0.
/// </summary>
internal sealed class StopMatcher
{
    private readonly IReadOnlyList<string> _texts;
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<int> _depth = [0];
    private readonly List<int> _fail = [0];
    private readonly List<int> _match = [-1]; // longest text that ends here, or -1

    /// <exception cref="ArgumentException">A text is empty.</exception>
    public StopMatcher(IReadOnlyList<string> texts)
    {
        _texts = texts;
        for (int i = 0; i < texts.Count; i++)
            AddText(i);
        LinkSuffixes();
    }

    /// <summary>How many of the last characters are the start of some text.</summary>
    public int HeldBack(int place) => _depth[place];

    /// <summary>Takes one character; returns the index of the longest text that ends with it, or -1.</summary>
    public int Advance(ref int place, char next)
    {
        place = Step(place, next);
        return _match[place];
    }

    private void AddText(int index)
    {
        if (_texts[index].Length == 0)
            throw new ArgumentException("a stop text is empty");
        int node = 0;
        foreach (char c in _texts[index])
        {
            if (!_edges.TryGetValue((node, c), out int child))
            {
                child = _depth.Count;
                _edges.Add((node, c), child);
                _depth.Add(_depth[node] + 1);
                _fail.Add(0);
                _match.Add(-1);
            }
            node = child;
        }
        if (_match[node] < 0)
            _match[node] = index;
    }

    // Breadth first: a node's longest proper suffix is shallower than the node.
    private void LinkSuffixes()
    {
        foreach (((int parent, char c), int child) in _edges.OrderBy(edge => _depth[edge.Value]).ToList())
        {
            _fail[child] = parent == 0 ? 0 : Step(_fail[parent], c);
            if (_match[child] < 0)
                _match[child] = _match[_fail[child]];
        }
    }

    private int Step(int node, char next)
    {
        int child;
        while (!_edges.TryGetValue((node, next), out child) && node != 0)
            node = _fail[node];
        return child;
    }
}
