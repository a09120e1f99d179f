using System.Globalization;
using System.Text.Json;
using NativeLM.Engine;

namespace NativeLM.Benchmarks.LlamaCpp;

/// <summary>
/// Decode and prefill of this engine beside llama.cpp, same weights, same threads, interleaved in one process. Ratios are medians of per-round ratios.
/// </summary>
internal static class Program
{
    private const string Help = """
        Compares this engine with llama.cpp (LLamaSharp.Backend.Cpu) in one process, interleaved, same weights and threads.

          dotnet run -c Release --project benchmarks/partners/LlamaCpp -- --model FOLDER [options]

        FOLDER            a bf16 Llama folder written by benchmarks/RandomModel; a GGUF copy is written beside it once
        --batches LIST    decode batch sizes (1,4,16,64)
        --prefill N       prompt tokens of the prefill figure (512)
        --steps N         decode steps per round (24)
        --rounds N        rounds; the first is dropped (5)
        --threads N       threads of both (2)
        --json FILE       writes the figures
        """;

    private static async Task<int> Main(string[] args)
    {
        if (args.Length == 0 || args.Contains("--help"))
        {
            Console.WriteLine(Help);
            return args.Length == 0 ? 2 : 0;
        }
        string model = Option(args, "--model", "");
        int[] batches = [.. Option(args, "--batches", "1,4,16,64").Split(',').Select(b => int.Parse(b, CultureInfo.InvariantCulture))];
        int prefillTokens = Number(args, "--prefill", 512), steps = Number(args, "--steps", 24);
        int rounds = Number(args, "--rounds", 5), threads = Number(args, "--threads", 2);
        const int PromptTokens = 16;

        string gguf = Path.Combine(model, "model-bf16.gguf");
        if (!File.Exists(gguf))
            GgufExport.Write(model, gguf);
        int contextPerSequence = PromptTokens + steps + 64;
        await using Ours ours = new(LlmEngine.Load(new EngineOptions
        {
            ModelPath = model,
            DType = ModelDType.BFloat16,
            Threads = threads,
            MaxSequences = batches.Max(),
            MaxBatchedTokens = Math.Max(prefillTokens, batches.Max()),
            MaxModelLength = Math.Max(prefillTokens + 8, contextPerSequence * 2),
            KvCacheMemoryBytes = 1L << 30,
        }));
        using Partner partner = new(gguf, threads, prefillTokens, batches.Max(), contextPerSequence);
        Console.WriteLine($"llama.cpp: {Partner.SystemInfo}");
        Console.WriteLine($"ours:      {ours.Engine.Info.Device}, {ours.Engine.Info.DType}");

        List<Figure> figures = [];
        Random random = new(1);
        List<(double Ours, double Theirs)> prefill = [];
        Dictionary<int, List<(double Ours, double Theirs)>> decode = batches.ToDictionary(b => b, _ => new List<(double, double)>());
        for (int round = 0; round < rounds; round++)
        {
            int[] prompt = ours.Prompt(random, prefillTokens);
            prefill.Add((await ours.Prefill(prompt), await Quiet(() => partner.Prefill(prompt))));
            foreach (int batch in batches)
                decode[batch].Add((await ours.Decode(batch, PromptTokens, steps, random), await Quiet(() => partner.Decode(batch, PromptTokens, steps, random))));
            Console.Error.WriteLine($"round {round + 1} of {rounds}");
        }
        figures.Add(Figure.Of($"prefill {prefillTokens}", prefillTokens, prefill[1..]));
        figures.AddRange(batches.Select(b => Figure.Of($"decode batch {b}", b, decode[b][1..])));

        Console.WriteLine($"{"",-18}{"ours tok/s",12}{"llama.cpp",12}{"ratio",9}{"min",8}{"max",8}");
        foreach (Figure f in figures)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{f.Name,-18}{f.OursPerSecond,12:F1}{f.TheirsPerSecond,12:F1}{f.Ratio,9:F2}{f.RatioMin,8:F2}{f.RatioMax,8:F2}"));
        string json = Option(args, "--json", "");
        if (json.Length > 0)
            await File.WriteAllTextAsync(json, JsonSerializer.Serialize(new
            {
                partner = "LLamaSharp.Backend.Cpu 0.30.0",
                partner_system = Partner.SystemInfo,
                device = ours.Engine.Info.Device,
                dtype = ours.Engine.Info.DType,
                threads,
                rounds = rounds - 1,
                figures,
            }, JsonOptions));
        return 0;
    }

    private static readonly JsonSerializerOptions JsonOptions = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    // The other side's threads need a moment to fall asleep after their last parallel region.
    private static async Task<double> Quiet(Func<double> measure)
    {
        await Task.Delay(100);
        double seconds = measure();
        await Task.Delay(100);
        return seconds;
    }

    private static string Option(string[] args, string name, string otherwise)
    {
        int index = Array.IndexOf(args, name);
        return index < 0 ? otherwise : index + 1 < args.Length ? args[index + 1] : throw new ArgumentException($"{name} needs a value");
    }

    private static int Number(string[] args, string name, int otherwise) =>
        int.Parse(Option(args, name, otherwise.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);
}

/// <summary>One row: tokens per second of both and the ratio (ours over theirs), medians over rounds.</summary>
internal sealed record Figure(string Name, double OursPerSecond, double TheirsPerSecond, double Ratio, double RatioMin, double RatioMax)
{
    public static Figure Of(string name, int tokens, List<(double Ours, double Theirs)> seconds)
    {
        double[] ratios = [.. seconds.Select(s => s.Theirs / s.Ours).Order()];
        return new Figure(name, tokens / Median(seconds.Select(s => s.Ours)), tokens / Median(seconds.Select(s => s.Theirs)),
            ratios[ratios.Length / 2], ratios[0], ratios[^1]);
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}
