namespace NativeLM.Engine.Diagnostics;

/// <summary>A count that only grows. Any thread may add and read.</summary>
public sealed class Counter : Metric
{
    private long _value;

    internal Counter(string name, string help, string? labelName = null, string? labelValue = null) : base(name, help, labelName, labelValue)
    {
    }

    /// <summary>The count so far.</summary>
    public long Value => Interlocked.Read(ref _value);

    /// <summary>Takes over a count kept elsewhere, which also only grows.</summary>
    internal void Set(long value) => Interlocked.Exchange(ref _value, value);

    internal void Add(long count = 1) => Interlocked.Add(ref _value, count);
}
