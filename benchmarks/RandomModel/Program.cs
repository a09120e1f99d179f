using System.Globalization;
using NativeLM.Benchmarks;

const string usage = """
    Writes a Llama model folder with random weights, for benchmarks.

    usage: RandomModel FOLDER [--seed N] [--layers N] [--vocabulary N] [--positions N] [--type bfloat16|float16|float32] [--tiny | --llama-8b]

    Default: the shape of TinyLlama-1.1B in bfloat16 (2.2 GB), seed 1. --tiny: a shape for tests. --llama-8b: Llama-3.1-8B (16 GB).
    """;

if (args.Length == 0 || args[0].StartsWith('-'))
    return Fail(usage);
RandomModelShape shape = args.Contains("--tiny") ? RandomModelShape.Tiny : args.Contains("--llama-8b") ? RandomModelShape.Llama8B : RandomModelShape.TinyLlama;
ulong seed = 1;
for (int i = 1; i < args.Length; i++)
{
    if (args[i] is "--tiny" or "--llama-8b")
        continue;
    if (i + 1 == args.Length)
        return Fail($"{args[i]}: found no value\n\n{usage}");
    string name = args[i], value = args[++i];
    if (name == "--type" && value is "bfloat16" or "float16" or "float32")
    {
        shape = shape with { Type = value };
        continue;
    }
    if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) || number == 0)
        return Fail($"{name}: found {value}, needed a positive integer");
    switch (name)
    {
        case "--seed": seed = (ulong)number; break;
        case "--layers": shape = shape with { Layers = number }; break;
        case "--vocabulary": shape = shape with { Vocabulary = number }; break;
        case "--positions": shape = shape with { Positions = number }; break;
        default: return Fail($"unknown option {name}\n\n{usage}");
    }
}
RandomModelWriter.Write(args[0], shape, seed);
Console.WriteLine($"{args[0]}: {shape}");
return 0;

static int Fail(string message)
{
    Console.Error.WriteLine(message);
    return 2;
}
