using NativeLM.Engine;
using NativeLM.Simulation.Traces;

namespace NativeLM.Benchmarks.Paged;

/// <summary>What sharing saved over some requests.</summary>
/// <param name="Saved">Share of table entries that needed no block of their own, 0 to 1.</param>
/// <param name="CopiesPerRequest">Blocks copied because a sequence wrote into one that it shared.</param>
internal sealed record SharingResult(double Saved, double CopiesPerRequest);

/// <summary>Runs requests with several sequences and adds their sharing reports up.</summary>
internal static class SharingRun
{
    private const int Requests = 64;

    public static async Task<SharingResult> MeasureAsync(string model, int width, bool beams, FittedWorkload lengths)
    {
        await using LlmEngine engine = LlmEngine.Load(new EngineOptions
        {
            ModelPath = model,
            Device = DeviceKind.Cpu,
            MaxQueuedRequests = Requests * width,
            EnablePrefixCaching = false, // what is shared within a request, not between them
            Seed = 1,
        });
        List<Task<SharingReport>> readers = [];
        foreach (TraceRequest request in lengths.Poisson(rate: 2 * Requests, duration: 1, seed: 2).Take(Requests))
            readers.Add(ReportAsync(engine.Submit(new GenerationRequest
            {
                PromptIds = Prompts.Of(request.Input, engine.Info.VocabularySize, request.Arrival.GetHashCode()),
                Sampling = new SamplingParams { N = width, UseBeamSearch = beams, Temperature = beams ? 0 : 1, MaxTokens = request.Output, IgnoreEos = true },
                ReportSharing = true,
            })));
        SharingReport[] reports = await Task.WhenAll(readers);
        double logical = reports.Sum(report => (double)report.LogicalBlocks), physical = reports.Sum(report => (double)report.PhysicalBlocks);
        return new SharingResult(1 - (physical / logical), reports.Average(report => report.CopiesOnWrite));
    }

    private static async Task<SharingReport> ReportAsync(Generation generation)
    {
        await foreach (TokenEvent token in generation)
            if (token.FinishReason is FinishReason.Error)
                throw new InvalidOperationException(token.Error);
        return generation.Sharing!;
    }
}
