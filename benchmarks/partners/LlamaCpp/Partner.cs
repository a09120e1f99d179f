using System.Diagnostics;
using LLama.Abstractions;
using LLama.Common;
using LLama.Extensions;
using LLama.Native;

namespace NativeLM.Benchmarks.LlamaCpp;

/// <summary>llama.cpp in process: the same weights, the same thread count, its own batched decode without its server.</summary>
internal sealed class Partner : IDisposable
{
    private readonly SafeLlamaModelHandle _model;
    private readonly SafeLLamaContextHandle _prefill;
    private readonly SafeLLamaContextHandle _decode;
    private readonly int _vocabulary;

    public Partner(string ggufPath, int threads, int prefillTokens, int sequencesMax, int contextPerSequence)
    {
        NativeLibraryConfig.All.WithLogCallback((_, _) => { });
        ModelParams Parameters(int context, int sequences) => new(ggufPath)
        {
            ContextSize = (uint)context,
            SeqMax = (uint)sequences,
            BatchSize = (uint)Math.Max(prefillTokens, sequencesMax),
            UBatchSize = 512,
            Threads = threads,
            BatchThreads = threads,
            GpuLayerCount = 0,
        };
        ModelParams first = Parameters(prefillTokens + 8, 1);
        using IDisposable disposer = first.ToLlamaModelParams(out LLamaModelParams modelParameters);
        _model = SafeLlamaModelHandle.LoadFromFile(ggufPath, modelParameters);
        first.ToLlamaContextParams(out LLamaContextParams prefillParameters);
        _prefill = SafeLLamaContextHandle.Create(_model, prefillParameters);
        Parameters(sequencesMax * contextPerSequence, sequencesMax).ToLlamaContextParams(out LLamaContextParams decodeParameters);
        _decode = SafeLLamaContextHandle.Create(_model, decodeParameters);
        _vocabulary = _model.Vocab.Count;
    }

    public static string SystemInfo => System.Runtime.InteropServices.Marshal.PtrToStringUTF8(NativeApi.llama_print_system_info())?.Trim() ?? "";

    /// <summary>Seconds to compute the prompt in one call, logits for its last token only.</summary>
    public double Prefill(int[] prompt)
    {
        _prefill.MemoryClear(true);
        LLamaBatch batch = new();
        for (int i = 0; i < prompt.Length; i++)
            batch.Add(prompt[i], i, LLamaSeqId.Zero, i == prompt.Length - 1);
        long start = Stopwatch.GetTimestamp();
        Check(_prefill.Decode(batch));
        _prefill.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Logits after a prompt: to see that both systems compute the same model.</summary>
    public float[] Logits(int[] prompt)
    {
        Prefill(prompt);
        return _prefill.GetLogitsIth(prompt.Length - 1)[.._vocabulary].ToArray();
    }

    /// <summary>Seconds per step of <paramref name="steps"/> decode steps of a batch, after a prompt for each sequence. No sampling: tokens are given.</summary>
    public double Decode(int batchSize, int promptTokens, int steps, Random random)
    {
        _decode.MemoryClear(true);
        LLamaBatch batch = new();
        for (int position = 0; position < promptTokens; position++)
        {
            batch.Clear();
            for (int sequence = 0; sequence < batchSize; sequence++)
                batch.Add(random.Next(_vocabulary), position, (LLamaSeqId)sequence, position == promptTokens - 1);
            Check(_decode.Decode(batch));
        }
        _decode.Synchronize();
        long start = Stopwatch.GetTimestamp();
        for (int step = 0; step < steps; step++)
        {
            batch.Clear();
            for (int sequence = 0; sequence < batchSize; sequence++)
                batch.Add(random.Next(_vocabulary), promptTokens + step, (LLamaSeqId)sequence, true);
            Check(_decode.Decode(batch));
            _decode.Synchronize();
        }
        return Stopwatch.GetElapsedTime(start).TotalSeconds / steps;
    }

    public void Dispose()
    {
        _decode.Dispose();
        _prefill.Dispose();
        _model.Dispose();
    }

    private static void Check(DecodeResult result)
    {
        if (result != DecodeResult.Ok)
            throw new InvalidOperationException($"llama_decode answered {result}");
    }
}
