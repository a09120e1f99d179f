using System.Globalization;
using System.Text;
using System.Text.Json;

namespace NativeLM.Benchmarks.Report;

/// <summary>Reads docs/benchmarks/data/*.json as scripts/bench.sh wrote them and writes README.md and the plots beside them.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        if (args.Length != 1 || !Directory.Exists(Path.Combine(args[0], "data")))
        {
            Console.Error.WriteLine("usage: Report FOLDER, which holds data/*.json (scripts/bench.sh writes them)");
            return 2;
        }
        Figures figures = new(Path.Combine(args[0], "data"));
        StringBuilder page = new();
        page.AppendLine("# Measured speed\n");
        page.AppendLine("Written by `scripts/bench.sh`; each table names its partner, timed in the same run. Absolute figures are context, ratios are the claim.");
        page.AppendLine("Goals that are missed stay in the tables; [notes.md](notes.md) has the profiles that explain them.");
        page.AppendLine("Targets on a GPU, and how to measure there: [gpu.md](gpu.md). Cost of the block manager: [memory.md](memory.md).\n");
        Sections.Machine(page, figures);
        Sections.Kernels(page, figures, args[0]);
        Sections.Llama(page, figures, args[0]);
        Sections.Serving(page, figures, args[0]);
        Sections.Waste(page, figures);
        Sections.Start(page, figures);
        Sections.Host(page, figures);
        Sections.Calls(page, figures);
        File.WriteAllText(Path.Combine(args[0], "README.md"), page.ToString().TrimEnd() + "\n");
        return 0;
    }
}

/// <summary>The JSON parts that are there; a part that was not measured is null.</summary>
internal sealed class Figures(string folder)
{
    public JsonElement? Part(string name)
    {
        string path = Path.Combine(folder, name + ".json");
        return File.Exists(path) ? JsonDocument.Parse(File.ReadAllBytes(path)).RootElement : null;
    }

    public static string Number(double value, int digits = 1) => value.ToString("F" + digits, CultureInfo.InvariantCulture);
}
