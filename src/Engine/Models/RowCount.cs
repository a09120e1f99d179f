namespace NativeLM.Engine.Models;

/// <summary>Rows of a launch: how many it has room for, and the device's own count of those that mean something.</summary>
internal readonly unsafe struct RowCount(int max, int* count)
{
    public int Max { get; } = max;

    /// <summary>Device: at most <see cref="Max"/>.</summary>
    public int* Count { get; } = count;
}
