using System.Text;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Engine.ChatTemplates;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Renderings of Jinja2 itself, byte for byte.</summary>
public sealed class TemplateVectorTests
{
    private sealed class FixedClock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2025, 7, 10, 12, 0, 0, TimeSpan.Zero);

        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;
    }

    [Fact]
    public void Renders_68_templates_as_Jinja2_does()
    {
        JsonElement goldens = Read("render_vectors/jinja2_golden_renders.json");
        var failures = new StringBuilder();
        int rendered = 0, raised = 0;
        foreach (JsonElement entry in goldens.GetProperty("templates").EnumerateArray())
        {
            string source = entry.GetProperty("template").GetString()!;
            foreach (JsonProperty result in entry.GetProperty("renders").EnumerateObject())
            {
                var variables = Variables(goldens.GetProperty("contexts").GetProperty(result.Name));
                variables["bos_token"] = JinjaText.FromTemplate("<s>");
                variables["eos_token"] = JinjaText.FromTemplate("</s>");
                string name = $"{entry.GetProperty("names")[0]} {result.Name}";
                (string? actual, ChatTemplateException? error) = Render(source, variables);
                if (result.Value.TryGetProperty("out", out JsonElement expected))
                {
                    rendered++;
                    if (actual != expected.GetString())
                        failures.AppendLine($"{name}: expected '{expected}' actual '{actual}' {error?.Message}");
                }
                else if (result.Value.GetProperty("error").GetString()!.StartsWith("TemplateError: ", StringComparison.Ordinal))
                {
                    raised++;
                    if ("TemplateError: " + error?.Message != result.Value.GetProperty("error").GetString() || error?.Kind != ChatTemplateErrorKind.Raised)
                        failures.AppendLine($"{name}: expected error '{result.Value.GetProperty("error")}' actual '{error?.Message}' {actual}");
                }
            }
        }
        Assert.True(failures.Length == 0, failures.ToString());
        Assert.Equal((291, 32), (rendered, raised));
    }

    [Fact]
    public void Renders_26_model_templates_end_to_end()
    {
        var failures = new StringBuilder();
        int count = 0;
        foreach (JsonElement entry in Read("render_vectors/hfjs_e2e_v.json").EnumerateArray())
        {
            (string? actual, ChatTemplateException? error) = Render(entry.GetProperty("chat_template").GetString()!, Variables(entry.GetProperty("data")));
            if (actual != entry.GetProperty("expected").GetString())
                failures.AppendLine($"{entry.GetProperty("name")}: expected '{entry.GetProperty("expected")}' actual '{actual}' {error?.Message}");
            count++;
        }
        Assert.True(failures.Length == 0, failures.ToString());
        Assert.Equal(26, count);
    }

    [Fact]
    public void Runs_small_programs_as_Jinja2_does()
    {
        var failures = new StringBuilder();
        int count = 0;
        foreach (JsonElement entry in Read("render_vectors/hfjs_unit_v.json").EnumerateArray())
        {
            if (entry.GetProperty("jinja2_output").GetString() is not string expected)
                continue;
            (string? actual, ChatTemplateException? error) = Render(entry.GetProperty("template").GetString()!, Variables(entry.GetProperty("context")));
            if (actual != expected)
                failures.AppendLine($"{entry.GetProperty("name")}: expected '{expected}' actual '{actual}' {error?.Message}");
            count++;
        }
        Assert.True(failures.Length == 0, failures.ToString());
        Assert.Equal(71, count);
    }

    [Fact]
    public void Renders_the_verified_cases_of_llama_cpp()
    {
        JsonElement all = Read("render_vectors/llamacpp_chat_template_cases.json");
        var failures = new StringBuilder();
        int count = 0;
        foreach (JsonElement entry in all.GetProperty("cases").EnumerateArray())
        {
            if (!entry.GetProperty("verified_jinja2").GetBoolean())
                continue;
            string expected = (entry.TryGetProperty("expected_output_jinja", out JsonElement own) ? own.GetString() : null) is { Length: > 0 } text
                ? text : entry.GetProperty("expected_output").GetString()!;
            var tokens = new Dictionary<string, string>
            {
                ["bos_token"] = entry.TryGetProperty("bos_token", out JsonElement bos) ? bos.GetString()! : "",
                ["eos_token"] = entry.TryGetProperty("eos_token", out JsonElement eos) ? eos.GetString()! : "",
            };
            ChatTemplate template = ChatTemplate.Parse(entry.GetProperty("template_str").GetString()!, tokens, new FixedClock());
            string actual = template.Render(all.GetProperty("conversation"), new ChatTemplateOptions()).Text;
            if (actual != expected)
                failures.AppendLine($"{entry.GetProperty("name")}: expected '{expected}' actual '{actual}'");
            count++;
        }
        Assert.True(failures.Length == 0, failures.ToString());
        Assert.Equal(10, count);
    }

    private static (string? Text, ChatTemplateException? Error) Render(string source, Dictionary<string, JinjaValue> variables)
    {
        try
        {
            return (JinjaTemplate.Parse(source).Render(variables, new FixedClock()).Value, null);
        }
        catch (ChatTemplateException error)
        {
            return (null, error);
        }
    }

    private static Dictionary<string, JinjaValue> Variables(JsonElement context)
    {
        var variables = new Dictionary<string, JinjaValue>();
        foreach (JsonProperty property in context.EnumerateObject())
            variables[property.Name] = JinjaValue.FromJson(property.Value);
        return variables;
    }

    private static JsonElement Read(string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(TestData.Require(file)));
        return document.RootElement.Clone();
    }
}
