using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>One row for the sampler with the host-side description of its penalty state, mask and bias.</summary>
internal sealed record SamplerRow
{
    public SampleRow Parameters { get; init; } = Neutral;

    public required float[] Logits { get; init; }

    public int[] Prompt { get; init; } = [];

    public int[] Output { get; init; } = [];

    public int[]? Allowed { get; init; }

    public (int Id, float Value)[] Bias { get; init; } = [];

    public static SampleRow Neutral => new() { ForcedToken = -1, Temperature = 1, TopP = 1, RepetitionPenalty = 1, CountRow = -1, MaskRow = -1 };
}

/// <summary>What the sampler said about a batch.</summary>
internal sealed record SamplerAnswer(SampleResult[] Results, float[] Processed, int[] TopIds, float[] TopValues, ushort[] Counts);

/// <summary>Lays rows out as one nlm_sample call: penalty state through nlm_count_tokens, masks, biases.</summary>
internal static unsafe class SamplerBatch
{
    public const int TopMax = 5;

    public static SamplerAnswer Run(Rig rig, params SamplerRow[] rows)
    {
        int vocabulary = rows[0].Logits.Length, topMax = Math.Min(TopMax, vocabulary), stride = vocabulary + 3, words = (vocabulary + 31) / 32, n = rows.Length;
        Tensor processed = rig.Tensor(DType.F32, n * vocabulary);
        Tensor results = rig.Tensor(DType.I32, n * 4), topIds = rig.Tensor(DType.I32, n * topMax), topValues = rig.Tensor(DType.F32, n * topMax);
        float[] padded = [.. Enumerable.Repeat(float.NaN, n * stride)];
        SampleRow[] parameters = new SampleRow[n];
        uint[] allowed = new uint[n * words];
        List<(int Id, float Value)> bias = [];
        ushort* counts = (ushort*)rig.Memory(2L * n * vocabulary);
        uint* prompt = (uint*)rig.Memory(4L * n * words);
        for (int r = 0; r < n; r++)
        {
            SamplerRow row = rows[r];
            row.Logits.CopyTo(padded, r * stride);
            parameters[r] = row.Parameters with
            {
                CountRow = row.Prompt.Length + row.Output.Length > 0 ? r : row.Parameters.CountRow,
                MaskRow = row.Allowed is null ? -1 : r,
                BiasStart = bias.Count,
                BiasCount = row.Bias.Length,
            };
            bias.AddRange(row.Bias);
            foreach (int id in row.Allowed ?? [])
                allowed[r * words + id / 32] |= 1u << (id % 32);
            CountTokens(rig, counts, prompt, r, row, n, vocabulary);
        }
        Tensor logits = rig.Tensor(DType.F32, padded);
        SampleArgs args = new()
        {
            RowsMax = n,
            Results = (SampleResult*)results.Pointer,
            TopIds = (int*)topIds.Pointer,
            TopValues = (float*)topValues.Pointer,
            Processed = (float*)processed.Pointer,
            Logits = (float*)logits.Pointer,
            Parameters = rig.Upload<SampleRow>(parameters),
            TokenCounts = counts,
            PromptMask = prompt,
            AllowedMask = rig.Upload<uint>(allowed),
            BiasIds = rig.Integers([.. bias.Select(b => b.Id)]),
            BiasValues = rig.Floats([.. bias.Select(b => b.Value)]),
            LogitsStride = stride,
            Vocabulary = vocabulary,
            CountRows = n,
            MaskRows = n,
            BiasTotal = bias.Count,
            TopLogprobsMax = topMax,
        };
        args.WorkspaceBytes = rig.Library.SampleWorkspaceBytes(args);
        args.Workspace = rig.Memory(args.WorkspaceBytes);
        rig.Ops.Sample(args);
        Assert.Equal(padded, logits.Read());
        return new(results.Read<SampleResult>(), processed.Read(), topIds.Read<int>(), topValues.Read(), rig.Download<ushort>(counts, n * vocabulary));
    }

    private static void CountTokens(Rig rig, ushort* counts, uint* prompt, int r, SamplerRow row, int rows, int vocabulary)
    {
        fixed (int* promptIds = row.Prompt, outputIds = row.Output)
            rig.Ops.CountTokens(new CountTokensArgs
            {
                Row = r,
                TokenCounts = counts,
                PromptMask = prompt,
                Prompt = promptIds,
                Output = outputIds,
                PromptCount = row.Prompt.Length,
                OutputCount = row.Output.Length,
                CountRows = rows,
                Vocabulary = vocabulary,
            });
    }
}
