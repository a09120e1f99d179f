namespace NativeLM.Tests.Worlds;

/// <summary>
/// A model without weights. What it stores for a token depends on that token, its position and everything before it; what it draws depends
/// on all that is stored. So one wrong, stale or missing entry in the cache changes the tokens that follow.
/// </summary>
internal static class ToyModel
{
    /// <summary>What is stored for a token at a position, given what was stored for the one before (0: there is none).</summary>
    public static ulong Write(ulong before, int token, int position) => Mix(before ^ Mix(((ulong)(uint)token << 32) | (uint)position));

    /// <summary>Share of one position in what the last token attends to.</summary>
    public static ulong Weigh(ulong written, int position) => written * (2 * (ulong)position + 1);

    /// <summary>Share of one token in the counts of tokens that were drawn, which penalties read.</summary>
    public static ulong Count(int token) => Mix((ulong)(uint)token + 0x5851F42D4C957F2DUL);

    /// <summary>The token drawn.</summary>
    /// <param name="attended">Sum of <see cref="Weigh"/> over all positions.</param>
    /// <param name="counts">Sum of <see cref="Count"/> over the tokens drawn before.</param>
    /// <param name="seed">Seed of the sequence.</param>
    /// <param name="vocabulary">Number of tokens.</param>
    public static int Draw(ulong attended, ulong counts, ulong seed, int vocabulary) =>
        (int)(Mix(attended ^ Mix(counts ^ Mix(seed))) % (ulong)vocabulary);

    /// <summary>The k-th likeliest token and its log-probability, strictly less than that of the one before. All k below the vocabulary (a prime) give different tokens.</summary>
    public static (int Token, float Logprob) Candidate(ulong attended, int k, int vocabulary)
    {
        ulong first = Mix(attended), step = 1 + (Mix(first) % (ulong)(vocabulary - 1));
        float fraction = (Mix(attended + (ulong)k + 1) >> 40) / (float)(1 << 24);
        return ((int)((first % (ulong)vocabulary + (ulong)k * step) % (ulong)vocabulary), -0.31f * (k + fraction));
    }

    /// <summary>The finalizer of SplitMix64.</summary>
    public static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15UL;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }
}

/// <summary>What the model knows after some tokens, computed alone and without a cache.</summary>
internal struct ToyContext
{
    private ulong _written;

    /// <summary>Tokens so far.</summary>
    public int Count { get; private set; }

    /// <summary>What the last token attends to.</summary>
    public ulong Attended { get; private set; }

    public void Append(int token)
    {
        _written = ToyModel.Write(_written, token, Count);
        Attended += ToyModel.Weigh(_written, Count);
        Count++;
    }
}
