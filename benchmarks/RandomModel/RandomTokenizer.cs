using System.Text.Json.Nodes;

namespace NativeLM.Benchmarks;

/// <summary>
/// Writes a byte-level BPE tokenizer of any vocabulary size: three special tokens, 256 bytes, then letter strings of growing length, each
/// merged from the string before its last letter and that letter.
/// </summary>
internal static class RandomTokenizer
{
    private static readonly string[] Specials = ["<unk>", "<s>", "</s>"];

    public static void Write(string folder, int vocabularySize)
    {
        if (vocabularySize < Specials.Length + 256)
            throw new ArgumentException($"vocabulary: found {vocabularySize}, needed at least {Specials.Length + 256}");
        JsonObject vocabulary = [];
        JsonArray merges = [], added = [];
        foreach (string special in Specials)
        {
            added.Add((JsonNode)new JsonObject
            {
                ["id"] = vocabulary.Count,
                ["content"] = special,
                ["single_word"] = false,
                ["lstrip"] = false,
                ["rstrip"] = false,
                ["normalized"] = false,
                ["special"] = true,
            });
            vocabulary[special] = vocabulary.Count;
        }
        foreach (char letter in ByteLetters())
            vocabulary[letter.ToString()] = vocabulary.Count;
        foreach ((string left, string right) in Merges().Take(vocabularySize - vocabulary.Count))
        {
            merges.Add((JsonNode)new JsonArray(left, right));
            vocabulary[left + right] = vocabulary.Count;
        }
        JsonObject root = new()
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["pre_tokenizer"] = ByteLevel(),
            ["decoder"] = ByteLevel(),
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = merges },
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), root.ToJsonString());
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), new JsonObject
        {
            ["bos_token"] = "<s>",
            ["eos_token"] = "</s>",
            ["chat_template"] = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
                + "{% if add_generation_prompt %}assistant:{% endif %}",
        }.ToJsonString());
    }

    private static JsonObject ByteLevel() => new()
    {
        ["type"] = "ByteLevel",
        ["add_prefix_space"] = false,
        ["trim_offsets"] = true,
        ["use_regex"] = true,
    };

    // GPT-2's printable letter for each byte: itself where it is printable, else the next of U+0100.
    private static IEnumerable<char> ByteLetters()
    {
        int next = 0x100;
        for (int value = 0; value < 256; value++)
            yield return value is (>= 33 and <= 126) or (>= 161 and <= 172) or >= 174 ? (char)value : (char)next++;
    }

    private static IEnumerable<(string Left, string Right)> Merges()
    {
        List<string> shorter = [.. Enumerable.Range('a', 26).Select(letter => ((char)letter).ToString())];
        while (true)
        {
            List<string> longer = [];
            foreach (string left in shorter)
                for (char right = 'a'; right <= 'z'; right++)
                {
                    longer.Add(left + right);
                    yield return (left, right.ToString());
                }
            shorter = longer;
        }
    }
}
