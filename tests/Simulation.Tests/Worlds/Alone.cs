using System.Runtime.InteropServices;
using NativeLM.Engine;

namespace NativeLM.Tests.Worlds;

/// <summary>One sequence drawn alone, without a cache and without neighbours: what it must draw whatever the schedule.</summary>
internal sealed class Alone
{
    private readonly List<int> _tokens = [];
    private readonly int[] _endIds;
    private readonly int _promptCount;
    private readonly int _outputMax;
    private readonly int _vocabulary;
    private readonly ulong _seed;
    private ToyContext _context;
    private ulong _counts;

    public Alone(ReadOnlySpan<int> prompt, int outputMax, ulong seed, int[] endIds, int vocabulary)
    {
        (_promptCount, _outputMax, _seed, _endIds, _vocabulary) = (prompt.Length, outputMax, seed, endIds, vocabulary);
        foreach (int token in prompt)
            Append(token);
    }

    /// <summary>Prompt and what was drawn.</summary>
    public ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);

    /// <summary>Why it is over; None if it goes on.</summary>
    public FinishReason End { get; private set; }

    /// <summary>Draws the next token.</summary>
    public int Draw()
    {
        int token = ToyModel.Draw(_context.Attended, _counts, _seed, _vocabulary);
        Append(token);
        _counts += ToyModel.Count(token);
        End = _endIds.Contains(token) ? FinishReason.Stop : _tokens.Count - _promptCount == _outputMax ? FinishReason.Length : FinishReason.None;
        return token;
    }

    private void Append(int token)
    {
        _context.Append(token);
        _tokens.Add(token);
    }
}
