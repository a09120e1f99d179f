namespace NativeLM.Engine;

/// <summary>How far the weights are loaded.</summary>
/// <param name="BytesDone">Checkpoint bytes read and packed so far.</param>
/// <param name="BytesTotal">Checkpoint bytes to read in all.</param>
public readonly record struct LoadProgress(long BytesDone, long BytesTotal)
{
    /// <summary>Share done, from 0 to 1.</summary>
    public double Fraction => BytesTotal == 0 ? 1 : (double)BytesDone / BytesTotal;
}
