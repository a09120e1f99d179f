using System.Globalization;
using System.Security;
using System.Text;

namespace NativeLM.Simulation.Figures;

/// <summary>Points or bar heights of one name. Points with a value that is not finite are left out.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Points">(x, y) of a line; for bars x is the number of the group.</param>
internal sealed record PlotSeries(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>
/// A plot as an SVG text: lines over a linear or logarithmic axis, or bars beside or on top of each other. No styling beyond what a reader needs.
/// </summary>
internal sealed class SvgPlot
{
    private const double Width = 720, Height = 400, Left = 70, Right = 20, Top = 40, Bottom = 55;
    private const double InnerWidth = Width - Left - Right, InnerHeight = Height - Top - Bottom;

    private static readonly string[] Palette = ["#2f6fb7", "#c98a2b", "#5d8a3c", "#a2464f", "#6b5b95", "#4a9a9a", "#777777"];

    /// <summary>Above the plot.</summary>
    public required string Title { get; init; }

    /// <summary>Below the horizontal axis.</summary>
    public required string XLabel { get; init; }

    /// <summary>Beside the vertical axis.</summary>
    public required string YLabel { get; init; }

    /// <summary>Names of the groups of a bar plot; null for lines.</summary>
    public IReadOnlyList<string>? Groups { get; init; }

    /// <summary>Bars of a group stand on top of each other.</summary>
    public bool IsStacked { get; init; }

    /// <summary>The horizontal axis is logarithmic (lines only).</summary>
    public bool IsXLogarithmic { get; init; }

    /// <summary>The vertical axis is logarithmic.</summary>
    public bool IsYLogarithmic { get; init; }

    /// <summary>Top of the vertical axis; null: the largest value and some room.</summary>
    public double? YMax { get; init; }

    /// <summary>What is drawn.</summary>
    public required IReadOnlyList<PlotSeries> Series { get; init; }

    /// <summary>The whole file.</summary>
    public string Render()
    {
        StringBuilder svg = new();
        svg.AppendLine(
            Invariant($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">"));
        svg.AppendLine(Invariant($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>"));
        Text(svg, Width / 2, 20, Title, "middle", "font-size=\"14\" font-weight=\"bold\"");
        (double low, double high) = YRange();
        Axes(svg, low, high);
        if (Groups is null)
            Lines(svg, low, high);
        else
            Bars(svg, low, high);
        Legend(svg);
        svg.AppendLine("</svg>");
        return svg.ToString();
    }

    private (double Low, double High) YRange()
    {
        double[] values = IsStacked ? [.. Groups!.Select((_, g) => Series.Sum(s => At(s, g)))] : [.. Finite().Select(static p => p.Y)];
        double high = YMax ?? (values.Length == 0 ? 1 : values.Max() * (IsYLogarithmic ? 1.5 : 1.12));
        double low = IsYLogarithmic ? Math.Max(values.Where(static v => v > 0).DefaultIfEmpty(0.1).Min() / 1.5, high / 1e9) : 0;
        return (low, high > low ? high : low + 1);
    }

    private void Axes(StringBuilder svg, double low, double high)
    {
        foreach (double tick in IsYLogarithmic ? LogTicks(low, high) : LinearTicks(low, high))
        {
            double y = Y(tick, low, high);
            svg.AppendLine(Invariant($"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:0.##}\" y2=\"{y:0.##}\" stroke=\"#dddddd\"/>"));
            Text(svg, Left - 6, y + 4, Number(tick), "end");
        }
        svg.AppendLine(Invariant($"<path d=\"M{Left} {Top}V{Height - Bottom}H{Width - Right}\" fill=\"none\" stroke=\"#333333\"/>"));
        Text(svg, Left + InnerWidth / 2, Height - 12, XLabel, "middle");
        Text(svg, 0, 0, YLabel, "middle", Invariant($"transform=\"translate(16 {Top + InnerHeight / 2}) rotate(-90)\""));
    }

    private void Lines(StringBuilder svg, double low, double high)
    {
        (double X, double Y)[] all = [.. Finite()];
        double first = IsXLogarithmic ? all.Min(static p => p.X) : 0;
        double last = Math.Max(all.Length == 0 ? 1 : all.Max(static p => p.X), first + 1e-9);
        foreach (double tick in IsXLogarithmic ? PowersOfTwo(first, last) : LinearTicks(first, last))
            Text(svg, X(tick, first, last), Height - Bottom + 16, Number(tick), "middle");
        for (int s = 0; s < Series.Count; s++)
        {
            (double X, double Y)[] points = [.. Series[s].Points.Where(p => double.IsFinite(p.Y) && p.Y <= high && p.Y >= low)];
            string path = string.Join(' ', points.Select(p => Invariant($"{X(p.X, first, last):0.##},{Y(p.Y, low, high):0.##}")));
            svg.AppendLine($"<polyline points=\"{path}\" fill=\"none\" stroke=\"{Color(s)}\" stroke-width=\"2\"/>");
            foreach ((double x, double y) in points)
                svg.AppendLine(Invariant($"<circle cx=\"{X(x, first, last):0.##}\" cy=\"{Y(y, low, high):0.##}\" r=\"3\" fill=\"{Color(s)}\"/>"));
        }
    }

    private void Bars(StringBuilder svg, double low, double high)
    {
        double group = InnerWidth / Groups!.Count;
        double bar = group * 0.8 / (IsStacked ? 1 : Series.Count);
        for (int g = 0; g < Groups.Count; g++)
        {
            double below = 0;
            for (int s = 0; s < Series.Count; s++)
            {
                double value = At(Series[s], g);
                if (value == 0)
                    continue;
                double x = Left + g * group + group * 0.1 + (IsStacked ? 0 : s * bar);
                double top = Y(Math.Min(below + value, high), low, high), bottom = IsStacked ? Y(below, low, high) : Height - Bottom;
                double height = Math.Max(0, bottom - top);
                svg.AppendLine(
                    Invariant($"<rect x=\"{x:0.##}\" y=\"{top:0.##}\" width=\"{bar * 0.94:0.##}\" height=\"{height:0.##}\" fill=\"{Color(s)}\"/>"));
                if (IsStacked)
                    Text(svg, x + bar * 0.47, (top + bottom) / 2 + 4, Number(value), "middle", "fill=\"white\" font-size=\"11\"");
                else
                    Text(svg, x + bar * 0.47, top - 4, Number(value), "middle", "font-size=\"10\"");
                below += IsStacked ? value : 0;
            }
            Text(svg, Left + (g + 0.5) * group, Height - Bottom + 16, Groups[g], "middle");
        }
    }

    private void Legend(StringBuilder svg)
    {
        if (Series.Count < 2)
            return;
        double x = Left;
        for (int s = 0; s < Series.Count; s++)
        {
            svg.AppendLine(Invariant($"<rect x=\"{x:0.##}\" y=\"26\" width=\"10\" height=\"10\" fill=\"{Color(s)}\"/>"));
            Text(svg, x + 14, 35, Series[s].Name, "start", "font-size=\"11\"");
            x += 30 + 6.4 * Series[s].Name.Length;
        }
    }

    private IEnumerable<(double X, double Y)> Finite() => Series.SelectMany(static s => s.Points).Where(static p => double.IsFinite(p.Y));

    private static string Color(int series) => Palette[series % Palette.Length];

    private static double At(PlotSeries series, int group) =>
        series.Points.Where(p => (int)p.X == group && double.IsFinite(p.Y)).Sum(static p => p.Y);

    private double X(double value, double first, double last) => Left + 10 + (InnerWidth - 20)
        * (IsXLogarithmic ? Math.Log(value / first) / Math.Log(last / first) : (value - first) / (last - first));

    private double Y(double value, double low, double high) => Height - Bottom - InnerHeight
        * (IsYLogarithmic ? Math.Log(value / low) / Math.Log(high / low) : (value - low) / (high - low));

    private static IEnumerable<double> LinearTicks(double low, double high)
    {
        double rough = (high - low) / 6, scale = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = scale * (rough / scale < 1.5 ? 1 : rough / scale < 3.5 ? 2 : rough / scale < 7.5 ? 5 : 10);
        for (double tick = Math.Ceiling(low / step) * step; tick <= high * 1.0001; tick += step)
            yield return tick;
    }

    private static IEnumerable<double> LogTicks(double low, double high)
    {
        for (double power = Math.Pow(10, Math.Floor(Math.Log10(low))); power <= high; power *= 10)
            foreach (double tick in (double[])[power, 2 * power, 5 * power])
                if (tick >= low && tick <= high)
                    yield return tick;
    }

    private static IEnumerable<double> PowersOfTwo(double first, double last)
    {
        for (double tick = first; tick <= last * 1.0001; tick *= 2)
            yield return tick;
    }

    private static void Text(StringBuilder svg, double x, double y, string text, string anchor, string more = "") => svg.AppendLine(
        Invariant($"<text x=\"{x:0.##}\" y=\"{y:0.##}\" text-anchor=\"{anchor}\" {more}>") + SecurityElement.Escape(text) + "</text>");

    private static string Number(double value)
    {
        string text = value.ToString(value >= 100 ? "0" : "0.###", CultureInfo.InvariantCulture);
        return text.Length > 5 && value < 100 ? value.ToString("G3", CultureInfo.InvariantCulture) : text;
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
