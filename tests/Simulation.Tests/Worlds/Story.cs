namespace NativeLM.Tests.Worlds;

/// <summary>The last lines of what happened in a world. Nothing is written unless someone listens.</summary>
internal sealed class Story(int linesMax)
{
    private readonly Queue<string> _lines = [];

    public IEnumerable<string> Lines => _lines;

    public void Tell(string line)
    {
        if (_lines.Count == linesMax)
            _lines.Dequeue();
        _lines.Enqueue(line);
    }
}
