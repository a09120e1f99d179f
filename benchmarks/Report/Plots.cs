using ScottPlot;

namespace NativeLM.Benchmarks.Report;

/// <summary>Grouped bars as SVG, one colour per series, values on top.</summary>
internal static class Plots
{
    private static readonly Color[] Palette = [Color.FromHex("#2f6fb7"), Color.FromHex("#c98a2b"), Color.FromHex("#5d8a3c")];

    public static void Bars(string path, string title, string unit, string[] groups, (string Name, double[] Values)[] series)
    {
        Plot plot = new();
        List<Tick> ticks = [];
        for (int group = 0; group < groups.Length; group++)
        {
            double left = group * (series.Length + 1);
            for (int s = 0; s < series.Length; s++)
            {
                double value = series[s].Values[group];
                plot.Add.Bar(new Bar { Position = left + s, Value = value, FillColor = Palette[s], Label = value.ToString("G3", System.Globalization.CultureInfo.InvariantCulture) });
            }
            ticks.Add(new Tick(left + (series.Length - 1) / 2.0, groups[group]));
        }
        plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual([.. ticks]);
        plot.Axes.Bottom.MajorTickStyle.Length = 0;
        plot.HideGrid();
        plot.Axes.Margins(bottom: 0, top: 0.15);
        plot.Title(title);
        plot.YLabel(unit);
        for (int s = 0; s < series.Length; s++)
            plot.Legend.ManualItems.Add(new LegendItem { LabelText = series[s].Name, FillColor = Palette[s] });
        if (series.Length > 1)
            plot.ShowLegend(Alignment.UpperLeft);
        plot.SaveSvg(path, 760, 380);
    }
}
