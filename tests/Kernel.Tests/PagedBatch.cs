using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>Head counts and head size of an attention layer.</summary>
internal sealed record Heads(int Query, int Kv, int Dim)
{
    public int QkvWidth => (Query + 2 * Kv) * Dim;

    public int OutWidth => Query * Dim;
}

/// <summary>One chunk of a step: tokens [Start, Start + Count) of a sequence.</summary>
internal readonly record struct Chunk(int Sequence, int Start, int Count);

/// <summary>
/// Sequences over a paged cache. The whole pool starts as NaN and blocks are dealt in shuffled order, so a read of a slot that was
/// never written, or of another sequence's slot, shows in the output.
/// </summary>
internal sealed unsafe class PagedBatch
{
    private readonly Rig _rig;
    private readonly int[][] _tables;
    private readonly int _layer;
    private readonly int _lengthMax;

    public PagedBatch(Rig rig, DType type, Heads heads, int blockSize, int[] lengths, int layers = 2, int layer = 1, int seed = 1)
    {
        (_rig, Type, Heads, _layer) = (rig, type, heads, layer);
        _lengthMax = lengths.Max();
        int[] needed = [.. lengths.Select(l => (l + blockSize - 1) / blockSize)];
        KvCache cache = new()
        {
            Type = type,
            BlockCount = needed.Sum() + 3,
            BlockSize = blockSize,
            LayerCount = layers,
            KvHeadCount = heads.Kv,
            HeadDim = heads.Dim,
        };
        BlockBytes = rig.Library.KvBlockBytes(cache);
        Pool = rig.Own(rig.Device.Allocate(BlockBytes * cache.BlockCount));
        rig.Ops.Fill(Pool.Pointer, 0xFF, Pool.Bytes);
        cache.Data = Pool.Pointer;
        Cache = cache;

        int[] ids = [.. Enumerable.Range(1, cache.BlockCount - 1)];
        new Random(seed).Shuffle(ids);
        int next = 0;
        _tables = [.. needed.Select(n => ids[next..(next += n)])];
        Qkv = [.. lengths.Select((l, s) => Numbers.Normal(100 + s, l * heads.QkvWidth, type))];
        Outputs = [.. lengths.Select(l => new byte[l * heads.OutWidth * Numbers.Bytes(type)])];
    }

    public DType Type { get; }

    public Heads Heads { get; }

    public KvCache Cache { get; private set; }

    public DeviceBuffer Pool { get; }

    public long BlockBytes { get; }

    /// <summary>Per sequence [length, QkvWidth].</summary>
    public float[][] Qkv { get; }

    /// <summary>Per sequence the attention output of every token computed so far, [length, OutWidth], as bits.</summary>
    public byte[][] Outputs { get; }

    public AttentionOptions Options { get; init; } = new() { Scale = 0.25f };

    /// <summary>Every byte of the pool.</summary>
    public byte[] ReadPool() => _rig.Download<byte>(Pool.Pointer, (int)Pool.Bytes);

    public int[] Table(int sequence) => _tables[sequence];

    public int Slot(int sequence, int token) =>
        _tables[sequence][token / Cache.BlockSize] * Cache.BlockSize + token % Cache.BlockSize;

    /// <summary>Writes the chunks' keys and values, then attends, in one batch. One padding row (slot -1) follows the last chunk.</summary>
    public void Step(params Chunk[] chunks)
    {
        int rows = chunks.Sum(c => c.Count);
        float[] gathered = [.. chunks.SelectMany(c => Qkv[c.Sequence].AsSpan(c.Start * Heads.QkvWidth, c.Count * Heads.QkvWidth).ToArray()),
            .. new float[Heads.QkvWidth]];
        byte[] bits = Attend(WriteKv(_rig.Tensor(Type, gathered), chunks, rows), chunks, rows).Bits();
        int rowBytes = Heads.OutWidth * Numbers.Bytes(Type), row = 0;
        foreach (Chunk c in chunks)
        {
            Array.Copy(bits, row * rowBytes, Outputs[c.Sequence], c.Start * rowBytes, c.Count * rowBytes);
            row += c.Count;
        }
    }

    /// <summary>Scatters k and v of qkv [rows + 1, QkvWidth] (the last row is padding) and returns q.</summary>
    public Tensor WriteKv(Tensor qkv, Chunk[] chunks, int rows)
    {
        Tensor q = _rig.Tensor(Type, (rows + 1) * Heads.OutWidth);
        KvCache cache = Sized(Cache);
        _rig.Ops.WriteKv(new WriteKvArgs
        {
            Type = Type,
            QOut = q.Pointer,
            Cache = &cache,
            Qkv = qkv.Pointer,
            Positions = _rig.Integers([.. Positions(chunks), 0]),
            Slots = _rig.Integers([.. chunks.SelectMany(c => Enumerable.Range(c.Start, c.Count).Select(t => Slot(c.Sequence, t))), -1]),
            RowsMax = rows + 1,
            QHeadCount = Heads.Query,
            Layer = _layer,
            RopeStyle = RopeStyle.None,
        });
        return q;
    }

    /// <summary>Attention of the chunks' queries, [rows, OutWidth].</summary>
    public Tensor Attend(Tensor q, Chunk[] chunks, int rows)
    {
        int stride = _tables.Max(t => t.Length);
        int[] tables = new int[_tables.Length * stride];
        for (int s = 0; s < _tables.Length; s++)
            _tables[s].CopyTo(tables, s * stride);
        int[] starts = new int[chunks.Length + 1];
        for (int i = 0; i < chunks.Length; i++)
            starts[i + 1] = starts[i] + chunks[i].Count;
        Tensor output = _rig.Tensor(Type, rows * Heads.OutWidth);
        KvCache cache = Sized(Cache);
        PagedAttentionArgs args = new()
        {
            Type = Type,
            Out = output.Pointer,
            Q = q.Pointer,
            Cache = &cache,
            QueryStarts = _rig.Integers(starts),
            Lengths = _rig.Integers([.. chunks.Select(c => c.Start + c.Count)]),
            TableRows = _rig.Integers([.. chunks.Select(c => c.Sequence)]),
            BlockTables = _rig.Integers(tables),
            AlibiSlopes = Options.AlibiSlopes is { } slopes ? _rig.Floats(slopes) : null,
            Sinks = Options.Sinks is { } sinks ? _rig.Floats(sinks) : null,
            RowsMax = rows,
            SequencesMax = chunks.Length,
            QHeadCount = Heads.Query,
            Layer = _layer,
            TableCount = _tables.Length,
            TableStride = stride,
            LengthMax = _lengthMax,
            SplitKeys = Options.SplitKeys,
            Window = Options.Window,
            Scale = Options.Scale,
            Softcap = Options.Softcap,
        };
        args.WorkspaceBytes = _rig.Library.PagedAttentionWorkspaceBytes(args);
        args.Workspace = _rig.Memory(args.WorkspaceBytes);
        _rig.Ops.PagedAttention(args);
        return output;
    }

    public static int[] Positions(Chunk[] chunks) => [.. chunks.SelectMany(c => Enumerable.Range(c.Start, c.Count))];

    public static KvCache Sized(KvCache cache)
    {
        cache.Size = (uint)sizeof(KvCache);
        return cache;
    }
}
