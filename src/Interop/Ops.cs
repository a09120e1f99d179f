namespace NativeLM.Interop;

/// <summary>
/// One method per operation of the ABI, queued on one stream. Each sets the argument struct's Size, makes the raw call and throws on
/// failure; nothing is allocated. Pointers in the arguments are the caller's, who keeps their buffers alive until the work is done.
/// Throws <see cref="NativeArgumentException"/> for arguments that the backend refuses, <see cref="NativeUnsupportedException"/> for what
/// it cannot do, <see cref="DeviceLostException"/> when the device is gone. Same thread rules as the stream.
/// </summary>
public sealed unsafe class Ops
{
    private readonly NativeApi _api;
    private readonly DeviceStream _stream;

    internal Ops(DeviceStream stream)
    {
        _api = stream.Device.Api;
        _stream = stream;
    }

    /// <summary>Copies bytes to, from or on the device. Both ranges belong to the caller.</summary>
    public void Copy(void* destination, void* source, long bytes, CopyKind kind) =>
        Status.Check(_api, _api.Copy(_stream.Handle, destination, source, bytes, (int)kind));

    /// <summary>Sets every byte of a device range to <paramref name="value"/>.</summary>
    public void Fill(void* destination, byte value, long bytes) =>
        Status.Check(_api, _api.Fill(_stream.Handle, destination, value, bytes));

    /// <summary>Fills part of a packed weight from row-major host memory. See <see cref="PackWeightArgs"/>.</summary>
    public void PackWeight(in PackWeightArgs args)
    {
        PackWeightArgs call = args;
        call.Size = (uint)sizeof(PackWeightArgs);
        Status.Check(_api, _api.PackWeight(_stream.Handle, &call));
    }

    /// <summary>out = epilogue(x · Wᵀ + bias) + residual. See <see cref="GemmArgs"/>.</summary>
    public void Gemm(in GemmArgs args)
    {
        GemmArgs call = args;
        call.Size = (uint)sizeof(GemmArgs);
        Status.Check(_api, _api.Gemm(_stream.Handle, &call));
    }

    /// <summary>Gathers rows of a packed embedding table. See <see cref="EmbedArgs"/>.</summary>
    public void Embed(in EmbedArgs args)
    {
        EmbedArgs call = args;
        call.Size = (uint)sizeof(EmbedArgs);
        Status.Check(_api, _api.Embed(_stream.Handle, &call));
    }

    /// <summary>RMSNorm or LayerNorm of x + residual; the sum may be stored. See <see cref="NormArgs"/>.</summary>
    public void Norm(in NormArgs args)
    {
        NormArgs call = args;
        call.Size = (uint)sizeof(NormArgs);
        Status.Check(_api, _api.Norm(_stream.Handle, &call));
    }

    /// <summary>Activation, gated or not, where it is not a gemm epilogue. See <see cref="ActivateArgs"/>.</summary>
    public void Activate(in ActivateArgs args)
    {
        ActivateArgs call = args;
        call.Size = (uint)sizeof(ActivateArgs);
        Status.Check(_api, _api.Activate(_stream.Handle, &call));
    }

    /// <summary>Copies the rows named by an index list. See <see cref="GatherRowsArgs"/>.</summary>
    public void GatherRows(in GatherRowsArgs args)
    {
        GatherRowsArgs call = args;
        call.Size = (uint)sizeof(GatherRowsArgs);
        Status.Check(_api, _api.GatherRows(_stream.Handle, &call));
    }

    /// <summary>Splits the fused projection, rotates q and k, writes k and v to the cache slots. See <see cref="WriteKvArgs"/>.</summary>
    public void WriteKv(in WriteKvArgs args)
    {
        WriteKvArgs call = args;
        call.Size = (uint)sizeof(WriteKvArgs);
        Status.Check(_api, _api.WriteKv(_stream.Handle, &call));
    }

    /// <summary>Attention of a mixed batch of prefill chunks and decode rows through block tables. See <see cref="PagedAttentionArgs"/>.</summary>
    public void PagedAttention(in PagedAttentionArgs args)
    {
        PagedAttentionArgs call = args;
        call.Size = (uint)sizeof(PagedAttentionArgs);
        Status.Check(_api, _api.PagedAttention(_stream.Handle, &call));
    }

    /// <summary>Draws one token per row and reports log-probabilities. See <see cref="SampleArgs"/>.</summary>
    public void Sample(in SampleArgs args)
    {
        SampleArgs call = args;
        call.Size = (uint)sizeof(SampleArgs);
        Status.Check(_api, _api.Sample(_stream.Handle, &call));
    }

    /// <summary>Puts tokens that the step before drew into this step's ids, on the device. See <see cref="FeedTokensArgs"/>.</summary>
    public void FeedTokens(in FeedTokensArgs args)
    {
        FeedTokensArgs call = args;
        call.Size = (uint)sizeof(FeedTokensArgs);
        Status.Check(_api, _api.FeedTokens(_stream.Handle, &call));
    }

    /// <summary>The best continuations of each group of beams. See <see cref="BeamTopkArgs"/>.</summary>
    public void BeamTopk(in BeamTopkArgs args)
    {
        BeamTopkArgs call = args;
        call.Size = (uint)sizeof(BeamTopkArgs);
        Status.Check(_api, _api.BeamTopk(_stream.Handle, &call));
    }

    /// <summary>Rebuilds one row of the penalty state from host token lists. See <see cref="CountTokensArgs"/>.</summary>
    public void CountTokens(in CountTokensArgs args)
    {
        CountTokensArgs call = args;
        call.Size = (uint)sizeof(CountTokensArgs);
        Status.Check(_api, _api.CountTokens(_stream.Handle, &call));
    }

    /// <summary>Copies whole blocks inside the pool, all layers: pairs of (source, destination), <paramref name="pairCount"/> of them.</summary>
    public void CopyBlocks(in KvCache cache, int* pairs, int pairCount)
    {
        KvCache call = cache;
        call.Size = (uint)sizeof(KvCache);
        Status.Check(_api, _api.CopyBlocks(_stream.Handle, &call, pairs, pairCount));
    }

    /// <summary>Copies whole blocks between the pool and a pinned host pool: host list of pairs (pool block, host block).</summary>
    public void SwapBlocks(in KvCache cache, void* hostPool, int hostBlockCount, int* pairs, int pairCount, SwapDirection direction)
    {
        KvCache call = cache;
        call.Size = (uint)sizeof(KvCache);
        Status.Check(_api, _api.SwapBlocks(_stream.Handle, &call, hostPool, hostBlockCount, pairs, pairCount, (int)direction));
    }
}
