using System.Collections.Concurrent;
using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;
using NativeLM.Engine;
using NativeLM.Engine.Tokenization;

namespace NativeLM.Tests;

/// <summary>Tokenizers of the shared data, loaded once. Families without a tokenizer.json get one written from their ranks or merges.</summary>
internal static class Tokenizers
{
    private static readonly ConcurrentDictionary<string, Lazy<ModelTokenizer>> Loaded = [];

    /// <summary>A family by the name of its folder; skips the test when the files are absent.</summary>
    public static ModelTokenizer Get(string name)
    {
        string folder = TestData.Require(name == "stories260K" ? "models/stories260K" : "tokenizers/" + name.Replace("-plain", "", StringComparison.Ordinal));
        return Loaded.GetOrAdd(name, _ => new Lazy<ModelTokenizer>(() => Load(name, folder))).Value;
    }

    private static ModelTokenizer Load(string name, string folder) => name switch
    {
        "deepseek-v4" => ModelTokenizer.Parse(ReadGzip(Path.Combine(folder, "tokenizer.json.gz")), Config(folder)),
        "llama-3" => ModelTokenizer.Parse(FromRanks(Path.Combine(folder, "tokenizer.model"), Cl100kSplitter.Llama3Pattern, 128000), Config(folder)),
        "cl100k" => ModelTokenizer.Parse(FromRanks(Path.Combine(folder, "cl100k_base.tiktoken"), Cl100kSplitter.Llama3Pattern, 100257,
            [(100257, "<|endoftext|>"), (100258, "<|fim_prefix|>"), (100259, "<|fim_middle|>"), (100260, "<|fim_suffix|>"), (100276, "<|endofprompt|>")])),
        "o200k" => ModelTokenizer.Parse(FromRanks(Path.Combine(folder, "o200k_base.tiktoken"), O200kSplitter.Pattern, 199998,
            [(199999, "<|endoftext|>"), (200018, "<|endofprompt|>")])),
        "qwen2" => ModelTokenizer.Parse(FromMerges(folder, Cl100kSplitter.Qwen2Pattern, nfc: true), Config(folder)),
        "gpt2-plain" => ModelTokenizer.Parse(WithoutAddedSpaces(Path.Combine(folder, "tokenizer.json"))),
        "opt" => ModelTokenizer.Parse(FromMerges(folder, Gpt2Splitter.Pattern, nfc: false)),
        _ => ModelTokenizer.Load(folder),
    };

    private static string Config(string folder) => File.ReadAllText(Path.Combine(folder, "tokenizer_config.json"));

    public static string ReadGzip(string file)
    {
        using var stream = new GZipStream(File.OpenRead(file), CompressionMode.Decompress);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>The gpt2 file here is CodeGen's, which adds runs of spaces; without them it is GPT-2.</summary>
    private static string WithoutAddedSpaces(string file)
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(file))!;
        JsonArray added = root["added_tokens"]!.AsArray();
        while (added.Count > 1)
            added.RemoveAt(1);
        return root.ToJsonString();
    }

    private static string FromMerges(string folder, string pattern, bool nfc)
    {
        JsonNode vocabulary = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "vocab.json")))!;
        var merges = new JsonArray([.. File.ReadLines(Path.Combine(folder, "merges.txt"))
            .Where(line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal)).Select(line => (JsonNode)line)]);
        return Write(vocabulary, merges, pattern, nfc, ignoreMerges: false, []);
    }

    /// <summary>A rank file holds no merges: the two parts of each token are what merging by lower ranks leaves of it.</summary>
    private static string FromRanks(string file, string pattern, int count, (int, string)[]? added = null)
    {
        var tokens = new byte[count][];
        var ranks = new Dictionary<string, int>(count);
        foreach (string line in File.ReadLines(file))
        {
            int space = line.IndexOf(' ');
            if (space < 0)
                continue;
            byte[] bytes = Convert.FromBase64String(line[..space]);
            int rank = int.Parse(line[(space + 1)..]);
            tokens[rank] = bytes;
            ranks.Add(Encoding.Latin1.GetString(bytes), rank);
        }
        var vocabulary = new JsonObject();
        var merges = new JsonArray();
        for (int rank = 0; rank < count; rank++)
        {
            if (tokens[rank] is null)
                continue;
            string text = Encoding.Latin1.GetString(tokens[rank]);
            vocabulary.Add(Spell(text), rank);
            if (text.Length > 1 && Halves(text, rank, ranks) is (string left, string right))
                merges.Add(new JsonArray(Spell(left), Spell(right)));
        }
        return Write(vocabulary, merges, pattern, nfc: false, ignoreMerges: true, added ?? []);
    }

    private static string Spell(string latin1) => string.Concat(latin1.Select(c => ByteAlphabet.CharOf((byte)c)));

    private static (string, string)? Halves(string text, int limit, Dictionary<string, int> ranks)
    {
        List<string> parts = [.. text.Select(c => c.ToString())];
        while (parts.Count > 2)
        {
            int best = -1, bestRank = limit;
            for (int i = 0; i + 1 < parts.Count; i++)
                if (ranks.TryGetValue(parts[i] + parts[i + 1], out int rank) && rank < bestRank)
                    (best, bestRank) = (i, rank);
            if (best < 0)
                return null;
            parts[best] += parts[best + 1];
            parts.RemoveAt(best + 1);
        }
        return (parts[0], parts[1]);
    }

    private static string Write(JsonNode vocabulary, JsonArray merges, string pattern, bool nfc, bool ignoreMerges, (int Id, string Text)[] added) =>
        new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. added.Select(token => new JsonObject
            {
                ["id"] = token.Id, ["content"] = token.Text, ["special"] = true,
            })]),
            ["normalizer"] = nfc ? new JsonObject { ["type"] = "NFC" } : null,
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = pattern },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false }),
            },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = merges, ["ignore_merges"] = ignoreMerges },
        }.ToJsonString();
}
