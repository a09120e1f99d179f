using System.Diagnostics;
using System.Text;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Engine.ChatTemplates;
using Xunit;

namespace NativeLM.Tests;

public sealed class HostileFileTests
{
    [Theory]
    [InlineData("\"merges\":[]", "\"merges\":[\"a zz\"]", "'zz' is not in the vocabulary")]
    [InlineData("\"merges\":[]", "\"merges\":[\"a b c\"]", "two parts")]
    [InlineData("\"merges\":[]", "\"merges\":[[\"\",\"a\"]]", "non-empty")]
    [InlineData("\"merges\":[]", "\"merges\":[1]", "needed a string")]
    [InlineData("\"merges\":[]", "\"merge\":[]", "'merges'")]
    [InlineData("\"a\":97", "\"a\":98", "belongs to both")]
    [InlineData("\"a\":97", "\"b\":97", "'b'")]
    [InlineData("\"a\":97", "\"a\":2147483648", "needed an id")]
    [InlineData("\"a\":97", "\"a\":-1", "needed an id")]
    [InlineData("\"a\":97", "\"a\":9700000", "too sparse")]
    [InlineData("\"a\":97", "\"a\":1.5", "needed an id")]
    [InlineData("\"a\":97", "\"\\ud800\":97", "not valid Unicode")]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model type 'Unigram' is not supported")]
    [InlineData("\"added_tokens\":[]", "\"added_tokens\":[{\"id\":256,\"content\":\"\"}]", "1 to 4096 characters")]
    [InlineData("\"added_tokens\":[]", "\"added_tokens\":[{\"id\":256,\"content\":\"x1\"},{\"id\":256,\"content\":\"x2\"}]", "occurs twice")]
    [InlineData("\"added_tokens\":[]", "\"added_tokens\":7", "needed an array")]
    [InlineData("{\"type\":\"ByteLevel\",\"add_prefix_space\"", "{\"type\":\"Mystery\",\"add_prefix_space\"", "pre_tokenizer 'Mystery' is not supported")]
    [InlineData("\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":{\"type\":\"CTC\"}", "decoder 'CTC'")]
    [InlineData("\"decoder\":", "\"normalizer\":{\"type\":\"NFKC\"},\"decoder\":", "normalizer 'NFKC' is not supported")]
    [InlineData("\"decoder\":", "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<none>\"}}]},\"decoder\":", "'<none>' is not in")]
    public void A_broken_tokenizer_file_is_refused_with_the_rule_it_breaks(string from, string to, string message)
    {
        string json = SmallTokenizers.BytesJson();
        Assert.Contains(from, json, StringComparison.Ordinal);
        var error = Assert.Throws<TokenizerFormatException>(() => ModelTokenizer.Parse(json.Replace(from, to, StringComparison.Ordinal)));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.StartsWith("tokenizer.json: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_a_tokenizer_and_a_file_of_another_kind_are_refused_by_name()
    {
        Assert.Contains("tokenizer.json", Assert.Throws<TokenizerFormatException>(() => ModelTokenizer.Load("/no/such/folder")).Message, StringComparison.Ordinal);
        Assert.Contains("not valid JSON", Assert.Throws<TokenizerFormatException>(() => ModelTokenizer.Parse(new string('[', 100_000))).Message, StringComparison.Ordinal);
        Assert.Contains("JSON object", Assert.Throws<TokenizerFormatException>(() => ModelTokenizer.Parse("[]")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pattern_that_explodes_ends_in_an_error_in_time()
    {
        string json = SmallTokenizers.BytesJson().Replace("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
            "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+b(?!x)\"},\"behavior\":\"Isolated\"}", StringComparison.Ordinal);
        ModelTokenizer tokenizer = ModelTokenizer.Parse(json);
        Assert.Equal([.. "aab"u8.ToArray().Select(value => (int)value)], tokenizer.Encode("aab"));
        long start = Stopwatch.GetTimestamp();
        var error = Assert.Throws<RequestRejectedException>(() => tokenizer.Encode(new string('a', 50_000)));
        Assert.Equal(RejectionKind.InvalidValue, error.Kind);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void Mutated_tokenizer_files_load_or_are_refused_and_never_crash()
    {
        string[] sources = [SmallTokenizers.BytesJson(["a b", "ab c"], "<end>"), SmallTokenizers.MarkedJson()];
        var random = new Random(2026);
        int loaded = 0;
        for (int i = 0; i < 2_000; i++)
        {
            string json = Mutate(sources[i % 2], random);
            try
            {
                ModelTokenizer tokenizer = ModelTokenizer.Parse(json);
                int[] ids = tokenizer.Encode("abc <end> a▁b <s>\u00e9😀", maxTokenCount: 100);
                Assert.All(ids, id => Assert.InRange(id, 0, tokenizer.VocabularySize - 1));
                tokenizer.Decode(ids);
                loaded++;
            }
            catch (TokenizerFormatException)
            {
            }
            catch (RequestRejectedException)
            {
            }
        }
        Assert.InRange(loaded, 20, 1_980);
    }

    [Fact]
    public void Mutated_templates_render_or_fail_with_a_typed_error_and_never_crash_or_hang()
    {
        string[] sources =
        [
            "{% macro m(a, b=1) %}{{ a ~ b }}{% endmacro %}{% for x in messages %}{{ loop.index }}{{ m(x.role, x['content'][1:-1] | trim | upper) }}{% endfor %}",
            "{% set ns = namespace(n=0) %}{% for i in range(5) if i % 2 == 0 %}{% set ns.n = ns.n + i * 3 %}{% if ns.n > 4 %}{% break %}{% endif %}{% endfor %}{{ ns.n }}",
            "{{ {'a': [1, 2.5, none, true], 'b': messages} | tojson(indent=2) }}{%- if messages[0] is defined and messages|length > 1 -%}x{%- else -%}y{%- endif %}",
            "{% call(q) outer() %}{{ q }}{% endcall %}{% filter upper %}a{{ 'b'.split(',') | join('-') }}{% endfilter %}{% raw %}{{ x }}{% endraw %}{# c #}",
        ];
        var clock = TimeProvider.System;
        var limits = new TemplateLimits { StepsMax = 200_000, OutputMax = 100_000 };
        var variables = new Dictionary<string, JinjaValue>
        {
            ["messages"] = JinjaValue.FromJson(JsonDocument.Parse("""[{"role":"user","content":"Hello 😀"},{"role":"assistant","content":null}]""").RootElement),
        };
        var random = new Random(58);
        int rendered = 0;
        for (int i = 0; i < 2_000; i++)
        {
            try
            {
                JinjaTemplate.Parse(Mutate(sources[i % sources.Length], random), limits).Render(variables, clock);
                rendered++;
            }
            catch (ChatTemplateException)
            {
            }
        }
        Assert.InRange(rendered, 50, 1_950);
    }

    private const string Noise = "{}[]\"',:|%-+*()0123456789ab\\.<>\ud800\u0000";

    // Deletes, doubles, swaps or overwrites a few stretches.
    private static string Mutate(string source, Random random)
    {
        var text = new StringBuilder(source);
        for (int change = random.Next(1, 4); change > 0 && text.Length > 10; change--)
        {
            int at = random.Next(text.Length - 5), length = random.Next(1, Math.Min(30, text.Length - at));
            string part = text.ToString(at, length);
            switch (random.Next(4))
            {
                case 0:
                    text.Remove(at, length);
                    break;
                case 1:
                    text.Insert(at, part);
                    break;
                case 2:
                    text.Insert(random.Next(text.Length), part);
                    break;
                default:
                    text[at] = Noise[random.Next(Noise.Length)];
                    break;
            }
        }
        return text.ToString();
    }
}
