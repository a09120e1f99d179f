namespace NativeLM.Simulation.Hardware;

/// <summary>
/// Seconds that a step takes: the host's part, weights read or multiplied (whichever is longer), KV read, attention of prefills, collectives.
/// A roofline with one efficiency per resource; no queueing, no launch gaps. GPUs of a tensor-parallel group share all work evenly.
/// </summary>
internal sealed class CostModel
{
    private readonly double _linearFlop; // seconds per token in matrix products
    private readonly double _weights; // seconds to read all weights once
    private readonly double _kv; // seconds per KV token read
    private readonly double _attentionFlop; // seconds per pair of prompt tokens
    private readonly double _collective; // seconds of a step's collectives, without bytes
    private readonly double _collectiveToken; // seconds per token in them
    private readonly double _copyByte;
    private readonly double _swapCall;
    private readonly double _swapByte;
    private readonly HostOverhead _host;
    private readonly double _blockBytes;

    public CostModel(ModelShape model, GpuSpec gpu, HostOverhead host, int blockSize)
    {
        double flops = gpu.Flops * model.Gpus * gpu.FlopEfficiency;
        double bandwidth = gpu.Bandwidth * model.Gpus;
        _linearFlop = 2 * model.Parameters / flops;
        _weights = model.WeightBytes / (bandwidth * gpu.WeightEfficiency);
        _kv = model.KvBytesPerToken / (bandwidth * gpu.KvEfficiency);
        _attentionFlop = 2.0 * model.Layers * model.Hidden / (flops / 2); // attention reaches half of what matrix products do
        if (model.Gpus > 1)
        {
            _collective = 2 * model.Layers * gpu.AllReduceSeconds;
            _collectiveToken = 2 * model.Layers * (2.0 * model.Hidden) / gpu.LinkBandwidth; // bf16 activations
        }
        _copyByte = 1 / (bandwidth * gpu.WeightEfficiency);
        _swapCall = 2 * model.Layers * gpu.SwapCallSeconds;
        _swapByte = 1 / gpu.SwapBandwidth / model.Gpus; // each GPU has its own link
        _host = host;
        _blockBytes = (double)model.KvBytesPerToken * blockSize;
    }

    /// <summary>Seconds of one pass over the model.</summary>
    /// <param name="decodes">Sequences that compute one token.</param>
    /// <param name="kvTokens">KV tokens that they read.</param>
    /// <param name="prefillTokens">Prompt tokens computed.</param>
    /// <param name="prefillPairs">Sum over prefills of <see cref="Pairs"/>.</param>
    public double Pass(int decodes, double kvTokens, double prefillTokens, double prefillPairs) =>
        _host.Step + _host.Sequence * decodes
        + Math.Max(_linearFlop * (decodes + prefillTokens), _weights)
        + _kv * kvTokens
        + _attentionFlop * prefillPairs
        + _collective + _collectiveToken * (decodes + prefillTokens);

    /// <summary>
    /// T·L of a prefill of <paramref name="count"/> tokens behind <paramref name="start"/> known ones: for a whole prompt its length squared, for a
    /// chunk what it adds to that.
    /// </summary>
    public static double Pairs(double start, double count) => count * (2 * start + count);

    /// <summary>Seconds to copy blocks on the device.</summary>
    public double Copy(int blocks) => blocks * _blockBytes * _copyByte;

    /// <summary>Seconds to move blocks one way between device and host.</summary>
    public double Swap(int blocks) => blocks * (_swapCall + _blockBytes * _swapByte);

    /// <summary>Seconds that a pass takes whatever it computes.</summary>
    public double StepSeconds => Pass(0, 0, 0, 0);

    /// <summary>Seconds that one more prompt token takes in a pass that is bound by computation.</summary>
    public double TokenSeconds => _linearFlop + _collectiveToken;
}
