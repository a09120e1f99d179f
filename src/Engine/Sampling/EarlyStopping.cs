namespace NativeLM.Engine;

/// <summary>When a beam search ends before its output limit.</summary>
public enum EarlyStopping
{
    /// <summary>Once no running beam can beat the worst finished one at its present length.</summary>
    No,
    /// <summary>As soon as there are as many finished beams as the width.</summary>
    Yes,
    /// <summary>Only once no running beam could beat the worst finished one at any length still allowed.</summary>
    Never,
}
