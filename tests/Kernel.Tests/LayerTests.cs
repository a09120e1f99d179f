using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// A transformer layer made of the operations, as the engine chains them. The law: a token's bits depend only on its own sequence and on
/// engine constants.
/// </summary>
public sealed unsafe class LayerTests
{
    public static IEnumerable<TheoryDataRow<string, DType>> EachType => Targets.EachType;

    [Theory, MemberData(nameof(EachType))]
    public void A_token_has_the_same_bits_however_its_sequence_was_served(string target, DType type)
    {
        int[] lengths = [5, 70, 33];
        byte[][] expected;
        using (Rig rig = new(target, threads: 1))
        {
            TinyLayer alone = new(rig, type, 16, lengths);
            for (int s = 0; s < lengths.Length; s++)
                alone.Step(new Chunk(s, 0, lengths[s]));
            expected = alone.Outputs;
        }
        foreach ((int threads, int blockSize, int chunk) in new[] { (1, 8, 1), (2, 16, 7), (3, 32, 16), (2, 64, 64), (2, 16, 1) })
        {
            using Rig rig = new(target, threads);
            TinyLayer layer = new(rig, type, blockSize, lengths);
            Random order = new(blockSize + chunk);
            for (int start = 0; start < lengths.Max(); start += chunk)
            {
                Chunk[] step = [.. lengths.Select((l, s) => new Chunk(s, start, Math.Min(chunk, l - start))).Where(c => c.Count > 0)];
                order.Shuffle(step);
                layer.Step(step);
            }
            for (int s = 0; s < lengths.Length; s++)
                Assert.True(expected[s].AsSpan().SequenceEqual(layer.Outputs[s]),
                    $"sequence {s} differs with {threads} threads, blocks of {blockSize}, chunks of {chunk}");
        }
    }

    /// <summary>norm → qkv → cache → attention → o + residual → norm → gate and up → down + residual.</summary>
    private sealed class TinyLayer
    {
        private const int Hidden = 48, Intermediate = 80;

        private readonly Rig _rig;
        private readonly DType _type;
        private readonly PagedBatch _cache;
        private readonly Heads _heads = new(4, 2, 16);
        private readonly LinearLayer _qkv, _o, _gateUp, _down;
        private readonly float[] _norm1, _norm2, _rope;
        private readonly float[][] _inputs;

        public TinyLayer(Rig rig, DType type, int blockSize, int[] lengths)
        {
            (_rig, _type) = (rig, type);
            _cache = new PagedBatch(rig, type, _heads, blockSize, lengths, seed: blockSize);
            _qkv = new(rig, type, Weight(1, _heads.QkvWidth, Hidden), _heads.QkvWidth, Hidden);
            _o = new(rig, type, Weight(2, Hidden, _heads.OutWidth), Hidden, _heads.OutWidth);
            _gateUp = new(rig, type, Weight(3, 2 * Intermediate, Hidden), 2 * Intermediate, Hidden, gated: true) { Epilogue = Epilogue.SiluMul };
            _down = new(rig, type, Weight(4, Hidden, Intermediate), Hidden, Intermediate);
            (_norm1, _norm2) = (Numbers.Normal(5, Hidden, type), Numbers.Normal(6, Hidden, type));
            _rope = WriteKvTests.RopeTable(lengths.Max(), _heads.Dim);
            _inputs = [.. lengths.Select((l, s) => Numbers.Normal(50 + s, l * Hidden, type))];
            Outputs = [.. lengths.Select(l => new byte[l * Hidden * Numbers.Bytes(type)])];
        }

        public byte[][] Outputs { get; }

        public void Step(params Chunk[] chunks)
        {
            int rows = chunks.Sum(c => c.Count);
            Tensor x = _rig.Tensor(_type, [.. chunks.SelectMany(c => _inputs[c.Sequence].AsSpan(c.Start * Hidden, c.Count * Hidden).ToArray())]);
            Tensor q = WriteKv(_qkv.Run(Norm(x, _norm1, rows), rows), chunks, rows);
            Tensor h = _o.Run(_cache.Attend(q, chunks, rows), rows, residual: x);
            byte[] bits = _down.Run(_gateUp.Run(Norm(h, _norm2, rows), rows), rows, residual: h).Bits();
            int rowBytes = Hidden * Numbers.Bytes(_type), row = 0;
            foreach (Chunk c in chunks)
            {
                Array.Copy(bits, row * rowBytes, Outputs[c.Sequence], c.Start * rowBytes, c.Count * rowBytes);
                row += c.Count;
            }
        }

        private float[] Weight(int seed, int n, int k) => Numbers.Normal(seed, n * k, _type, 1 / Math.Sqrt(k));

        private Tensor Norm(Tensor x, float[] weight, int rows)
        {
            Tensor output = _rig.Tensor(_type, rows * Hidden);
            _rig.Ops.Norm(new NormArgs
            {
                Kind = NormKind.Rms,
                Out = output.Pointer,
                X = x.Pointer,
                Weight = _rig.Tensor(_type, weight).Pointer,
                XStride = Hidden,
                OutStride = Hidden,
                RowsMax = rows,
                Columns = Hidden,
                Type = _type,
                Epsilon = 1e-5f,
            });
            return output;
        }

        private Tensor WriteKv(Tensor qkv, Chunk[] chunks, int rows)
        {
            Tensor q = _rig.Tensor(_type, rows * _heads.OutWidth);
            KvCache cache = PagedBatch.Sized(_cache.Cache);
            _rig.Ops.WriteKv(new WriteKvArgs
            {
                Type = _type,
                QOut = q.Pointer,
                Cache = &cache,
                Qkv = qkv.Pointer,
                RopeTable = _rig.Floats(_rope),
                Positions = _rig.Integers(PagedBatch.Positions(chunks)),
                Slots = _rig.Integers([.. chunks.SelectMany(c => Enumerable.Range(c.Start, c.Count).Select(t => _cache.Slot(c.Sequence, t)))]),
                RowsMax = rows,
                QHeadCount = _heads.Query,
                Layer = 1,
                PositionsMax = _rope.Length / _heads.Dim,
                RotaryDim = _heads.Dim,
                RopeStyle = RopeStyle.HalfSplit,
            });
            return q;
        }
    }
}
