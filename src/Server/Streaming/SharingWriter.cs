using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Generations;

namespace NativeLM.Server.Streaming;

/// <summary>The answer's "nativelm" object: what sharing of KV blocks did for all prompts of a request, and the scores of beams.</summary>
internal static class SharingWriter
{
    public static void Write(Utf8JsonWriter json, IReadOnlyList<PromptRun> runs)
    {
        SharingReport total = runs.Aggregate(new SharingReport(), static (sum, run) => run.Sharing is SharingReport report ? Add(sum, report) : sum);
        json.WriteStartObject();
        json.WriteNumber("logical_blocks"u8, total.LogicalBlocks);
        json.WriteNumber("physical_blocks"u8, total.PhysicalBlocks);
        json.WriteNumber("saved_share"u8, total.SavedShare);
        json.WriteNumber("blocks_used_max"u8, total.BlocksUsedMax);
        json.WriteNumber("prompt_blocks_from_cache"u8, total.PromptBlocksFromCache);
        json.WriteNumber("copies_on_write"u8, total.CopiesOnWrite);
        json.WriteNumber("preemptions_by_recompute"u8, total.PreemptionsByRecompute);
        json.WriteNumber("preemptions_by_swap"u8, total.PreemptionsBySwap);
        json.WriteNumber("bytes_swapped"u8, total.BytesSwapped);
        json.WriteNumber("tokens_recomputed"u8, total.TokensRecomputed);
        if (runs.Any(static run => run.BeamScores.Count > 0))
        {
            json.WriteStartArray("beam_scores"u8);
            foreach (PromptRun run in runs)
                foreach (float score in run.BeamScores)
                    json.WriteNumberValue(score);
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static SharingReport Add(SharingReport a, SharingReport b) => new()
    {
        LogicalBlocks = a.LogicalBlocks + b.LogicalBlocks,
        PhysicalBlocks = a.PhysicalBlocks + b.PhysicalBlocks,
        // Prompts run side by side: together they used at most this much.
        BlocksUsedMax = a.BlocksUsedMax + b.BlocksUsedMax,
        PromptBlocksFromCache = a.PromptBlocksFromCache + b.PromptBlocksFromCache,
        CopiesOnWrite = a.CopiesOnWrite + b.CopiesOnWrite,
        PreemptionsByRecompute = a.PreemptionsByRecompute + b.PreemptionsByRecompute,
        PreemptionsBySwap = a.PreemptionsBySwap + b.PreemptionsBySwap,
        BytesSwapped = a.BytesSwapped + b.BytesSwapped,
        TokensRecomputed = a.TokensRecomputed + b.TokensRecomputed,
    };
}
