using System.Text.Json.Nodes;
using NativeLM.Engine;
using NativeLM.Engine.Tokenization;

namespace NativeLM.Tests;

/// <summary>Tokenizers written here, so that tests of behaviour need no files.</summary>
internal static class SmallTokenizers
{
    /// <summary>Byte-level, ids 0 to 255 are the bytes, then merges, then special tokens.</summary>
    public static string BytesJson(string[]? merges = null, params string[] special)
    {
        var vocabulary = new JsonObject();
        for (int value = 0; value < 256; value++)
            vocabulary.Add(ByteAlphabet.CharOf((byte)value).ToString(), value);
        foreach (string merge in merges ?? [])
            vocabulary.TryAdd(merge.Replace(" ", "", StringComparison.Ordinal), vocabulary.Count);
        int first = vocabulary.Count;
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. special.Select((text, i) => new JsonObject { ["id"] = first + i, ["content"] = text, ["special"] = true })]),
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = true },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. (merges ?? []).Select(merge => (JsonNode)merge)]),
            },
        }.ToJsonString();
    }

    public static ModelTokenizer Bytes(string[]? merges = null, params string[] special) => ModelTokenizer.Parse(BytesJson(merges, special));

    /// <summary>SentencePiece-style: bytes 3 to 258, then a few letters and merges.</summary>
    public static string MarkedJson()
    {
        var vocabulary = new JsonObject { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        for (int value = 0; value < 256; value++)
            vocabulary.Add($"<0x{value:X2}>", vocabulary.Count);
        foreach (string text in (string[])["▁", "a", "b", "c", "▁a", "ab", "▁ab", "▁▁"])
            vocabulary.Add(text, vocabulary.Count);
        JsonObject Added(int id, string text) => new() { ["id"] = id, ["content"] = text, ["special"] = true };
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added(0, "<unk>"), Added(1, "<s>"), Added(2, "</s>")),
            ["normalizer"] = JsonNode.Parse("""{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}"""),
            ["post_processor"] = JsonNode.Parse("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}"""),
            ["decoder"] = JsonNode.Parse(
                """{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"""),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray("▁ a", "a b", "▁a b", "▁ ▁"),
                ["byte_fallback"] = true,
                ["unk_token"] = "<unk>",
                ["fuse_unk"] = true,
            },
        }.ToJsonString();
    }
}
