using BenchmarkDotNet.Attributes;
using NativeLM.Engine;

namespace NativeLM.Benchmarks.Host;

/// <summary>Text of one more token, with the demo model's tokenizer.</summary>
[MemoryDiagnoser]
public class Detokenizer
{
    private int[] _ids = [];
    private ModelTokenizer _tokenizer = null!;

    public static int TokenCount => 4096;

    [GlobalSetup]
    public void Load()
    {
        _tokenizer = ModelTokenizer.Load(DemoModel.Folder);
        Random random = new(1);
        _ids = [.. Enumerable.Range(0, TokenCount).Select(_ => random.Next(300, _tokenizer.VocabularySize))];
    }

    [Benchmark(OperationsPerInvoke = 4096)]
    public int Append()
    {
        IncrementalDetokenizer detokenizer = _tokenizer.CreateDetokenizer(skipSpecialTokens: true);
        int characters = 0;
        foreach (int id in _ids)
            characters += detokenizer.Append(id).Length;
        return characters;
    }
}

/// <summary>Finds models/demo above the program.</summary>
internal static class DemoModel
{
    public static string Folder
    {
        get
        {
            for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
                if (File.Exists(Path.Combine(folder.FullName, "models", "demo", "tokenizer.json")))
                    return Path.Combine(folder.FullName, "models", "demo");
            throw new DirectoryNotFoundException($"models/demo was not found above {AppContext.BaseDirectory}");
        }
    }
}
