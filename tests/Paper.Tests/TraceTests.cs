using NativeLM.Simulation.Traces;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Traces as they are published, broken rows, and the fitted lengths.</summary>
public sealed class TraceTests
{
    [Theory]
    [InlineData("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,374,44\n2023-11-16 18:15:50.5,396,109\n")]
    [InlineData("b.csv", "timestamp_ms,prompt_tokens,output_tokens\r\n6000,374,44\r\n10000,396,109\r\n")]
    [InlineData("c.jsonl", "{\"timestamp\": 0, \"input_length\": 374, \"output_length\": 44, \"hash_ids\": [7]}\n\n"
        + "{\"timestamp\": 4000, \"input_length\": 396, \"output_length\": 109, \"hash_ids\": [7, 8]}\n")]
    public void Published_formats_are_read(string name, string text)
    {
        Trace trace = Read(name, text);
        Assert.True(trace.HasArrivals);
        Assert.Equal([(0.0, 374, 44), (4.0, 396, 109)], trace.Requests.Select(r => (Math.Round(r.Arrival, 6), r.Input, r.Output)));
        if (name == "c.jsonl")
            Assert.Equal([7, 8], trace.Requests[1].PrefixBlocks!);
    }

    [Theory]
    [InlineData("a.csv", "", "line 1", "header")]
    [InlineData("a.csv", "time,tokens\n", "line 1", "ContextTokens")]
    [InlineData("a.csv", "prompt_tokens,output_tokens\n1,2\n1,2,3\n", "line 3", "cells")]
    [InlineData("a.csv", "prompt_tokens,output_tokens\n1,2\n-4,2\n", "line 3", "field prompt_tokens")]
    [InlineData("a.csv", "prompt_tokens,output_tokens\n1,\n", "line 2", "field output_tokens")]
    [InlineData("a.csv", "prompt_tokens,output_tokens\n99999999999,1\n", "line 2", "field prompt_tokens")]
    [InlineData("a.csv", "timestamp_ms,prompt_tokens,output_tokens\nsoon,1,1\n", "line 2", "field timestamp_ms")]
    [InlineData("a.csv", "arrival,prompt_tokens,output_tokens\nNaN,1,1\n", "line 2", "field arrival")]
    [InlineData("a.csv", "timestamp_ms,prompt_tokens,output_tokens\n5,1,1\n4,1,1\n", "line 3", "earlier")]
    [InlineData("a.jsonl", "{\"input_length\": 1, \"output_length\": 1}\n{\"input_length\": 1\n", "line 2", "JSON")]
    [InlineData("a.jsonl", "[1]\n", "line 1", "object")]
    [InlineData("a.jsonl", "{\"input_length\": 1}\n", "line 1", "output_length")]
    [InlineData("a.jsonl", "{\"input_length\": \"x\", \"output_length\": 1}\n", "line 1", "field input_length")]
    [InlineData("a.jsonl", "{\"timestamp\": \"x\", \"input_length\": 1, \"output_length\": 1}\n", "line 1", "field timestamp")]
    [InlineData("a.jsonl", "{\"input_length\": 1, \"output_length\": 1, \"hash_ids\": 3}\n", "line 1", "field hash_ids")]
    [InlineData("a.jsonl", "{\"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1, -1]}\n", "line 1", "field hash_ids")]
    public void A_broken_row_is_an_error_that_names_file_line_and_field(string name, string text, string line, string field)
    {
        InvalidDataException failure = Assert.Throws<InvalidDataException>(() => Read(name, text));
        Assert.Contains(name, failure.Message);
        Assert.Contains(line == "line 1" && text.Length == 0 ? "empty" : line, failure.Message);
        Assert.Contains(field, failure.Message);
    }

    [Fact]
    public void A_line_without_end_is_refused() =>
        Assert.Contains("line 2",
            Assert.Throws<InvalidDataException>(() =>
                Read("a.csv", "prompt_tokens,output_tokens\n" + new string('1', TraceReader.LineMax + 1))).Message);

    [Fact]
    public void A_trace_without_rows_is_refused_where_rows_are_needed() =>
        Assert.Contains("no rows",
            Assert.Throws<InvalidDataException>(() => new RecordedWorkload("a.csv", Read("a.csv", "prompt_tokens,output_tokens\n"), 2048)).Message);

    [Theory]
    [InlineData("traces/AzureLLMInferenceTrace_conv_2023.csv", 19_366, 1154.7, 211.1)]
    [InlineData("traces/mooncake_synthetic_trace.jsonl", 3_993, 15_325, 149.1)]
    [InlineData("traces/aibrix_8min_up_and_down_lengths.csv", 2_026, 293.6, 73.3)]
    [InlineData("traces/alpaca2000_lengths_llama2_tokenizer.csv", 2_000, 19.56, 65.9)]
    [InlineData("traces/arena_hard_v0.1_gpt35_lengths_llama2_tokenizer.csv", 500, 115, 400)]
    [InlineData("traces/sharegpt_8k_filtered_stats_llama2_tokenizer.csv", 30_731, 2340, 438.7)]
    [InlineData("traces/vidur_arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv", 28_257, 2588, 291.4)]
    public void Real_traces_have_their_published_means(string file, int count, double input, double output)
    {
        Trace trace = TraceReader.Read(TestData.Require(file));
        Assert.Equal(count, trace.Requests.Count);
        Assert.InRange(trace.Requests.Average(r => r.Input), input * 0.995, input * 1.005);
        Assert.InRange(trace.Requests.Average(r => r.Output), output * 0.995, output * 1.005);
    }

    [Fact]
    public void The_azure_trace_has_its_published_rate()
    {
        Trace trace = TraceReader.Read(TestData.Require("traces/AzureLLMInferenceTrace_conv_2023.csv"));
        Assert.InRange(trace.Requests.Count / trace.Requests[^1].Arrival, 5.52, 5.54);
    }

    [Fact]
    public void Fitted_lengths_have_the_means_of_the_papers_data_sets()
    {
        Check(FittedWorkload.ShareGpt, 161.31, 337.99);
        Check(FittedWorkload.Alpaca, 19.31, 58.45);

        static void Check(Workload workload, double input, double output)
        {
            IReadOnlyList<TraceRequest> rows = workload.Poisson(50, 4000, seed: 1);
            Assert.InRange(rows.Average(r => r.Input), input * 0.98, input * 1.02);
            Assert.InRange(rows.Average(r => r.Output), output * 0.98, output * 1.02);
            Assert.All(rows, r => Assert.True(r.Total < 2048));
        }
    }

    [Fact]
    public void Over_half_of_the_chat_prompts_are_full() =>
        Assert.InRange(FittedWorkload.Chat.Poisson(10, 4000, 1).Average(r => r.Input == 1024 ? 1.0 : 0), 0.53, 0.57);

    [Fact]
    public void A_rate_scales_the_same_gaps_and_keeps_the_lengths()
    {
        IReadOnlyList<TraceRequest> slow = FittedWorkload.ShareGpt.Poisson(1, 1000, 7), fast = FittedWorkload.ShareGpt.Poisson(2, 500, 7);
        Assert.Equal(slow.Select(r => (Math.Round(r.Arrival / 2, 6), r.Input, r.Output)),
            fast.Select(r => (Math.Round(r.Arrival, 6), r.Input, r.Output)));
        double[] gaps = [.. slow.Zip(slow.Skip(1), (a, b) => b.Arrival - a.Arrival)];
        Assert.InRange(gaps.Average(), 0.9, 1.1);
        Assert.InRange(Math.Sqrt(gaps.Average(g => (g - gaps.Average()) * (g - gaps.Average()))) / gaps.Average(), 0.9, 1.1);
    }

    private static Trace Read(string name, string text)
    {
        string folder = Directory.CreateTempSubdirectory("nativelm-trace").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, name), text);
            return TraceReader.Read(Path.Combine(folder, name));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
