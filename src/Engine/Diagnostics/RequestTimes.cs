namespace NativeLM.Engine.Diagnostics;

/// <summary>When a request arrived and progressed, in timestamps of the engine's clock.</summary>
internal struct RequestTimes
{
    public long Arrived;

    /// <summary>Its first step was planned; meaningful once <see cref="HasStarted"/>.</summary>
    public long Started;

    public bool HasStarted;

    /// <summary>Meaningful once <see cref="TokenCount"/> is positive.</summary>
    public long FirstToken;

    public long LastToken;

    /// <summary>Tokens drawn.</summary>
    public int TokenCount;
}
