namespace NativeLM.Engine.Diagnostics;

/// <summary>One time series: a counter, a gauge or a histogram. Series that share a name differ in <see cref="LabelValue"/>.</summary>
public abstract class Metric
{
    private protected Metric(string name, string help, string? labelName, string? labelValue)
    {
        Name = name;
        Help = help;
        LabelName = labelName;
        LabelValue = labelValue;
    }

    /// <summary>Full name, prefix included; a counter's ends in _total.</summary>
    public string Name { get; }

    /// <summary>One line that says what is counted, with its unit.</summary>
    public string Help { get; }

    /// <summary>Name of the series' own label, or null.</summary>
    public string? LabelName { get; }

    /// <summary>Value of that label, or null. Never client text.</summary>
    public string? LabelValue { get; }
}
