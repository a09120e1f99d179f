using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using NativeLM.Engine;

namespace NativeLM.Server.Tests;

/// <summary>A byte-level tokenizer.json written on the spot: four control tokens, then one token per byte.</summary>
internal sealed class ByteTokenizer
{
    public const int Bos = 0;
    public const int Eos = 1;
    public const int FirstByte = 4;
    public const int VocabularySize = FirstByte + 256;

    private static readonly string[] Control = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"];
    private readonly int[] _ids = new int[256];

    public ByteTokenizer()
    {
        JsonObject vocabulary = [];
        for (int i = 0; i < Control.Length; i++)
            vocabulary[Control[i]] = i;
        for (int value = 0; value < 256; value++)
        {
            _ids[value] = FirstByte + value;
            vocabulary[Printable(value).ToString()] = FirstByte + value;
        }
        JsonArray added = [];
        for (int i = 0; i < Control.Length; i++)
            added.Add(new JsonObject
            {
                ["id"] = i,
                ["content"] = Control[i],
                ["special"] = true,
                ["normalized"] = false,
                ["single_word"] = false,
                ["lstrip"] = false,
                ["rstrip"] = false,
            });
        JsonObject byteLevel() => new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = false, ["use_regex"] = true };
        JsonObject file = new()
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = null,
            ["pre_tokenizer"] = byteLevel(),
            ["post_processor"] = null,
            ["decoder"] = byteLevel(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray(),
                ["byte_fallback"] = false,
                ["unk_token"] = null,
            },
        };
        Tokenizer = ModelTokenizer.Parse(file.ToJsonString());
    }

    public ModelTokenizer Tokenizer { get; }

    /// <summary>The token of one byte.</summary>
    public int Id(char value) => _ids[value];

    /// <summary>The printable stand-in that byte-level vocabularies write for a byte.</summary>
    private static char Printable(int value)
    {
        if (value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF))
            return (char)value;
        int rank = value <= ' ' ? value : value <= 0xA0 ? 33 + (value - 0x7F) : 67;
        return (char)(256 + rank);
    }
}
